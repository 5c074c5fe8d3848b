"""`sihl-trainer fetch` against a real S3 server."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from botocore.stub import Stubber
from botocore.utils import parse_timestamp
from PIL import Image
from prometheus_client import CollectorRegistry, Gauge

from sihl_api.runtime import Env, ExitCode, ProgressReport, Result, read_result, reference_json
from sihl_api.tasks import SELF_SUPERVISED, Task
from sihl_api.trainingjob import TrainingJobSpec
from sihl_s3.access import Keys
from sihl_s3.boto import timestamp
from sihl_trainer.dataset.dataset import open_datasets
from sihl_trainer.errors import BadConfig, BadData, DiskFull, Refused, TrainerError, Unavailable
from sihl_trainer.fetch import download as download_module
from sihl_trainer.fetch import reach
from sihl_trainer.fetch.bucket import Bucket, RemoteObject
from sihl_trainer.fetch.download import download, is_complete
from sihl_trainer.fetch.main import fetch_main, fetch_split
from sihl_trainer.fetch.mover import CHUNK_BYTES
from sihl_trainer.fetch.plan import PlannedFile
from sihl_trainer.fetch.progress import FetchProgress
from sihl_trainer.fetch.reach import Changed
from sihl_trainer.http import ProgressServer
from sihl_trainer.record.s3 import S3Settings, S3Store
from sihl_trainer.termination import PATH_VARIABLE
from tests.support.datasets import (
    BOX_HEAD,
    BOXES,
    CLASS_HEAD,
    classification,
    detection,
    encoded,
    job,
    jpeg,
)
from tests.support.proxy import Faults, proxied
from tests.support.s3 import READER, S3Server
from tests.support.waiting import eventually

BUCKET = "data"
TOLD = {"train.fetched.json"}
"""What is left beside a dataset, for the record."""
Upload = Callable[[dict[str, bytes]], str]


@pytest.fixture
def upload(s3: S3Server, request: pytest.FixtureRequest) -> Iterator[Upload]:
    """Puts files under a prefix of this test's own and returns it."""
    prefix = re.sub("[^a-z0-9]+", "-", request.node.name)

    def put(files: dict[str, bytes]) -> str:
        s3.put(BUCKET, {f"{prefix}/{name}": body for name, body in files.items()})
        return prefix

    yield put
    s3.empty(BUCKET, prefix)


def environment(keys: tuple[str, str]) -> dict[str, str]:
    return {Env.dataset("accessKeyId"): keys[0], Env.dataset("secretAccessKey"): keys[1]}


def fetch(s3: S3Server, root: Path, prefix: str, *heads: Any, **options: Any) -> FetchProgress:
    progress = FetchProgress("train")
    spec = job(*heads, endpoint=s3.endpoint, prefix=prefix, **options)
    root.mkdir(exist_ok=True)
    fetch_split(spec, "train", root, environment(s3.reader), progress, patience=1)
    return progress


def files_below(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


# --- what is fetched -------------------------------------------------------------------------


def test_a_dataset_arrives_whole_with_what_it_names_and_nothing_else(
    s3: S3Server, tmp_path: Path, upload: Upload
) -> None:
    files = detection(20)
    others = {
        "README.md": b"x",
        "images/sub/a.jpg": b"x",
        "images/notes.txt": b"x",
        "old.yaml": b"",
    }
    prefix = upload(files | others)
    progress = fetch(s3, tmp_path, f"/{prefix}/", BOX_HEAD)
    assert files_below(tmp_path) == {f"train/{name}" for name in files} | TOLD
    for name, body in files.items():
        assert (tmp_path / "train" / name).read_bytes() == body
    assert len(open_datasets(job(BOX_HEAD), tmp_path).train) == 18
    total = sum(map(len, files.values()))
    assert progress.registry.get_sample_value("sihl_dataset_bytes", {"split": "train"}) == total
    sample = progress.registry.get_sample_value
    assert sample("sihl_dataset_total_bytes", {"split": "train"}) == total
    assert sample("sihl_dataset_checked_images", {"split": "train"}) == 20
    assert "Checking train: 20 images of 20 images (100 %)" in progress.line()


def test_names_with_spaces_signs_and_umlauts_arrive_as_they_are(
    s3: S3Server, tmp_path: Path, upload: Upload
) -> None:
    names = ["a b.jpg", "a+b%41.jpg", "größe.jpg", "#1?.jpg"]
    lines = "".join(f'"{name}": cat\n' for name in names)
    files = classification(0) | {"annotations.yaml": lines.encode()}
    fetch(s3, tmp_path, upload(files | {f"images/{name}": jpeg() for name in names}))
    assert sorted(open_datasets(job(), tmp_path).train.names) != []
    assert {path.name for path in (tmp_path / "train/images").iterdir()} == set(names)


def test_only_the_annotations_that_a_head_needs_are_fetched(
    s3: S3Server, tmp_path: Path, upload: Upload
) -> None:
    metadata = (
        b"tasks:\n  a: {task: object detection, categories: [cat], annotations: deep/er/a.yaml}\n"
        b"  b: {task: multiclass classification, categories: [cat], annotations: b.yaml}\n"
    )
    files = detection(3) | {"metadata.yaml": metadata, "deep/er/a.yaml": b"0.jpg: []\n1.jpg: []\n"}
    fetch(s3, tmp_path, upload(files), BOX_HEAD | {"annotations": "a"})
    found = files_below(tmp_path / "train")
    assert "deep/er/a.yaml" in found
    assert "annotations.yaml" not in found


@pytest.mark.parametrize("task", SELF_SUPERVISED)
def test_images_alone_are_a_dataset_for_self_supervised_heads(
    s3: S3Server, tmp_path: Path, upload: Upload, task: Task
) -> None:
    head = {"name": "head", "task": task.value}
    images = {f"images/{index}.jpg": jpeg(seed=index) for index in range(3)}
    fetch(s3, tmp_path, upload(images | {"notes.txt": b"x"}), head)
    assert files_below(tmp_path) == {f"train/{name}" for name in images} | TOLD
    data = open_datasets(job(head), tmp_path)
    assert len(data.train) + len(data.validation) == 3


def test_of_a_dataset_with_metadata_a_self_supervised_head_needs_the_images_only(
    s3: S3Server, tmp_path: Path, upload: Upload
) -> None:
    head = {"name": "head", "task": Task.VIEW_INVARIANCE.value}
    fetch(s3, tmp_path, upload(detection(3) | {"metadata.yaml": b"task: [\n"}), head)
    assert files_below(tmp_path) == {f"train/images/{index}.jpg" for index in range(3)} | TOLD


def test_validation_is_fetched_beside_training_and_held_against_it(
    s3: S3Server, tmp_path: Path, upload: Upload
) -> None:
    prefix = upload(
        {f"train/{name}": body for name, body in classification().items()}
        | {f"other/{name}": body for name, body in classification(2).items()}
    )
    spec = job(endpoint=s3.endpoint, prefix=f"{prefix}/train", validation_prefix=f"{prefix}/other")
    for split in ("train", "validation"):
        fetch_split(spec, split, tmp_path, environment(s3.reader))
    assert len(open_datasets(spec, tmp_path).validation) == 2
    changed = b"task: multiclass classification\ncategories: [cow]\nannotations: annotations.yaml\n"
    s3.put(BUCKET, {f"{prefix}/other/metadata.yaml": changed})
    with pytest.raises(BadData, match="lists names that the training dataset's does not: cow"):
        fetch_split(spec, "validation", tmp_path, environment(s3.reader))


def test_a_second_run_fetches_only_what_is_missing_changed_or_torn(
    s3: S3Server, tmp_path: Path, upload: Upload
) -> None:
    files = classification(8)
    prefix = upload(files)
    fetch(s3, tmp_path, prefix)
    images = tmp_path / "train" / "images"
    before = {path.name: path.stat().st_ino for path in images.iterdir()}
    (images / "0.jpg").unlink()
    (images / "1.jpg").write_bytes(b"torn")
    (images / "9.jpg.sihl-part").write_bytes(b"half")
    (images / "stale.jpg").write_bytes(b"no longer in the dataset")
    progress = fetch(s3, tmp_path, prefix)
    after = {path.name: path.stat().st_ino for path in images.iterdir()}
    assert set(after) == {f"{index}.jpg" for index in range(8)}
    assert {name for name in after if after[name] == before[name]} >= set(after) - {
        "0.jpg",
        "1.jpg",
    }
    assert (images / "1.jpg").read_bytes() == files["images/1.jpg"]
    total = sum(map(len, files.values()))
    assert progress.registry.get_sample_value("sihl_dataset_bytes", {"split": "train"}) == total


def test_maps_are_fetched_and_checked_and_those_that_are_gone_removed(
    s3: S3Server, tmp_path: Path, upload: Upload
) -> None:
    fields = b"task: depth estimation\nrange: [0, 255]\nannotations: a/maps\n"
    maps = {f"a/maps/{index}.png": encoded(Image.new("L", (12, 8), 9), "PNG") for index in (0, 1)}
    images = {name: body for name, body in detection(3).items() if name.startswith("images/")}
    prefix = upload({"metadata.yaml": fields} | images | maps)
    stale = tmp_path / "train" / "a" / "maps" / "2.png"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"no longer in the dataset")
    head = {"name": "far", "task": "DepthEstimation"}
    fetch(s3, tmp_path, prefix, head)
    assert files_below(tmp_path / "train") == {"metadata.yaml", *images, *maps}
    s3.put(BUCKET, {f"{prefix}/a/maps/1.png": encoded(Image.new("L", (80, 80), 9), "PNG")})
    with pytest.raises(BadData, match=r"maps/1\.png is 80 pixels wide and 80 high"):
        fetch(s3, tmp_path, prefix, head)


def test_fetching_and_checking_imports_no_torch(
    s3: S3Server, tmp_path: Path, upload: Upload
) -> None:
    spec = job(BOX_HEAD, endpoint=s3.endpoint, prefix=upload(detection(2)))
    program = (
        "import os, sys; from pathlib import Path\n"
        "from sihl_api.trainingjob import TrainingJobSpec\n"
        "from sihl_trainer.fetch.main import fetch_split\n"
        "spec = TrainingJobSpec.model_validate_json(sys.argv[1])\n"
        "fetch_split(spec, 'train', Path(sys.argv[2]), os.environ)\n"
        "sys.exit('torch' in sys.modules)"
    )
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    document = spec.model_dump_json(by_alias=True, exclude_none=True)
    subprocess.run(
        [sys.executable, "-c", program, document, str(tmp_path)],
        env=os.environ | environment(s3.reader) | path, check=True,
    )  # fmt: skip
    assert (tmp_path / "train/images/0.jpg").exists()


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02T03:04:05.678Z",
        "2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05+01:00",
        "Fri, 02 Jan 2026 03:04:05 GMT",
        "1767323045",
    ],
)
def test_a_time_means_what_it_means_to_boto3(text: str) -> None:
    assert timestamp(text) == parse_timestamp(text)


# --- what is refused, before an image is fetched ---------------------------------------------


@pytest.mark.parametrize(
    ("change", "reason", "says"),
    [
        ({"metadata.yaml": None}, "DatasetMetadataMissing", "no metadata.yaml or metadata.yml"),
        ({"metadata.yaml": b"task: [\n"}, "DatasetMalformed", "metadata.yaml, line 2, column 1"),
        ({"metadata.yaml": b"task: juggling\n"}, "DatasetMetadataInvalid", "'juggling'"),
        ({"annotations.yaml": None}, "DatasetAnnotationsMissing",
         "no such file or folder: upload it, or correct `annotations` in the metadata"),
        ({"annotations.yaml": b"0.jpg: [\n"}, "DatasetMalformed", "annotations.yaml, line 2"),
        ({"annotations.yaml": b"0.jpg: [{category: cow, bbox: [1, 1, 2, 2]}]\n"},
         "DatasetAnnotationInvalid", 'line 1, "0.jpg": box 1: unknown category \'cow\''),
        ({"annotations.yaml": b"0.jpg: [{category: cat, bbox: [5, 1, 2, 2]}]\n"},
         "DatasetAnnotationInvalid", 'line 1, "0.jpg": box 1: xmax 2 must be greater than xmin 5'),
        ({"annotations.yaml": b"zebra.jpg: []\n"}, "DatasetImageMissing", "'zebra.jpg'"),
        ({"images/a\nb.jpg": b"x"}, "DatasetKeyInvalid", "control character"),
        ({f"images/{'x' * 245}.jpg": b"x"}, "DatasetKeyInvalid", "longer than 240 bytes"),
        ({f"images/{index}.jpg": None for index in range(4)}, "DatasetEmpty", "no images directly"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("Dataset") else "",
)  # fmt: skip
def test_bad_data_is_found_before_an_image_is_fetched(
    s3: S3Server,
    tmp_path: Path,
    upload: Upload,
    change: dict[str, bytes | None],
    reason: str,
    says: str,
) -> None:
    files = detection(4) | change
    prefix = upload({name: body for name, body in files.items() if body is not None})
    with pytest.raises(BadData) as caught:
        fetch(s3, tmp_path, prefix, BOX_HEAD)
    assert caught.value.reason == reason
    assert says in str(caught.value)
    assert not [name for name in files_below(tmp_path) if "images" in name]


def test_a_head_that_the_dataset_cannot_feed_is_found_before_an_image_is_fetched(
    s3: S3Server, tmp_path: Path, upload: Upload
) -> None:
    prefix = upload(detection(2) | {"metadata.yaml": BOXES.encode()})
    with pytest.raises(BadConfig, match="head 'pet' learns multiclass classification"):
        fetch(s3, tmp_path, prefix, CLASS_HEAD)
    with pytest.raises(BadConfig, match="asks for annotations 'x'; the dataset has 'annotations'"):
        fetch(s3, tmp_path, prefix, BOX_HEAD | {"annotations": "x"})
    assert files_below(tmp_path) == {"train/metadata.yaml"}


def test_a_dataset_larger_than_dataset_size_is_found_before_an_image_is_fetched(
    s3: S3Server, tmp_path: Path, upload: Upload
) -> None:
    with pytest.raises(BadConfig, match=r"more than runner\.datasetSize allows, 8Ki"):
        fetch(s3, tmp_path, upload(classification()), runner={"datasetSize": "8Ki"})
    assert files_below(tmp_path) == {"train/metadata.yaml"}


def test_an_empty_prefix_is_told(s3: S3Server, tmp_path: Path) -> None:
    with pytest.raises(
        BadData, match="nothing in s3://data/no/such/folder/: upload the dataset there, or correct"
    ):
        fetch(s3, tmp_path, "no/such/folder")


def test_a_prefix_with_dots_is_refused(s3: S3Server, tmp_path: Path) -> None:
    with pytest.raises(
        BadConfig,
        match=r"prefix 'a/\.\./b' has the part '\.\.', .*: correct it to the path of a folder",
    ):
        fetch(s3, tmp_path, "a/../b")


def test_a_split_that_the_job_has_not_is_told(s3: S3Server, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"no validation dataset: give spec\.dataset\.validation"):
        fetch_split(job(endpoint=s3.endpoint), "validation", tmp_path, environment(s3.reader))


# --- what is found in the images -------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"images/2.jpg": jpeg(200, 200)[:-400]}, "images/2.jpg is damaged: its data ends before"),
        ({"images/2.jpg": b"not an image"}, "images/2.jpg is a text"),
        ({"images/2.jpg": b""},
         "images/2.jpg is empty: upload it again"),
        ({"annotations.yaml": b"1.jpg: []\n2.jpg: [{category: cat, bbox: [1, 1, 99, 9]}]\n"},
         'annotations.yaml, "2.jpg", box 1: [1, 1, 99, 9] lies outside the image, which is 24'),
    ],
)  # fmt: skip
def test_a_bad_image_or_box_is_found_before_training(
    s3: S3Server, tmp_path: Path, upload: Upload, change: dict[str, bytes], says: str
) -> None:
    with pytest.raises(BadData) as caught:
        fetch(s3, tmp_path, upload(detection(4) | change), BOX_HEAD)
    assert says in str(caught.value)


def test_all_faults_are_in_the_log_and_the_first_in_the_message(
    s3: S3Server, tmp_path: Path, upload: Upload, caplog: pytest.LogCaptureFixture
) -> None:
    bad = {f"images/{index}.jpg": b"oops" for index in (1, 3)}
    with pytest.raises(BadData, match=r"images/1\.jpg .* \(and 1 more: see the log\)"):
        fetch(s3, tmp_path, upload(classification(5) | bad))
    assert "images/3.jpg is a text" in caplog.text


# --- the store -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (("nobody", "wrong"), "InvalidAccessKeyId"),
        (("test-reader", "wrong"), "SignatureDoesNotMatch"),
    ],
)
def test_wrong_credentials_are_told_with_bucket_endpoint_and_secret(
    s3: S3Server, tmp_path: Path, keys: tuple[str, str], says: str
) -> None:
    with pytest.raises(Refused) as caught:
        fetch_split(job(endpoint=s3.endpoint), "train", tmp_path, environment(keys))
    assert caught.value.reason == "DatasetAccessDenied"
    for part in (says, "bucket data", s3.endpoint, "Secret cells-s3"):
        assert part in str(caught.value)
    assert "wrong" not in str(caught.value)


def test_keys_that_expire_read_with_their_session_token_and_not_without(
    lending_s3: S3Server, tmp_path: Path
) -> None:
    key, secret, token = lending_s3.lend()
    spec, without = job(endpoint=lending_s3.endpoint), environment((key, secret))
    fetch_split(spec, "train", tmp_path, {**without, Env.dataset("sessionToken"): token})
    with pytest.raises(Refused):
        fetch_split(spec, "train", tmp_path, without)
    settings = S3Settings(lending_s3.endpoint, BUCKET, key, secret, session_token=token)
    record = S3Store(settings)
    assert record.get("metadata.yaml") == classification()["metadata.yaml"]
    assert token in record.settings.secrets


def test_a_bucket_that_the_credentials_may_not_read_is_access_denied(
    s3: S3Server, tmp_path: Path
) -> None:
    spec = job(endpoint=s3.endpoint, bucket="private")
    with pytest.raises(Refused, match=r"bucket private .* \(AccessDenied\)"):
        fetch_split(spec, "train", tmp_path, environment(s3.reader))


def test_anonymous_access_that_is_denied_asks_for_a_secret(s3: S3Server, tmp_path: Path) -> None:
    spec = job(endpoint=s3.endpoint)
    train = spec.dataset.train.model_copy(update={"credentials": None})
    spec = spec.model_copy(update={"dataset": spec.dataset.model_copy(update={"train": train})})
    with pytest.raises(BadConfig, match="give the dataset credentials, a Secret"):
        fetch_split(spec, "train", tmp_path, {})


def test_a_missing_bucket_is_told(s3: S3Server, tmp_path: Path) -> None:
    spec = job(endpoint=s3.endpoint, bucket="nowhere")
    with pytest.raises(BadConfig, match="no bucket nowhere at") as caught:
        fetch_split(spec, "train", tmp_path, environment(s3.admin))
    assert caught.value.reason == "DatasetBucketNotFound"


def test_a_secret_without_a_key_is_told(s3: S3Server, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"Secret cells-s3 lacks secretAccessKey, .*: add it"):
        fetch_split(job(), "train", tmp_path, {Env.dataset("accessKeyId"): "a"})


def test_keys_that_are_rotated_during_a_fetch_are_waited_for(s3: S3Server, upload: Upload) -> None:
    old, new = Keys("fetch-old", "old-secret"), Keys("fetch-new", "new-secret")
    prefix = upload({"images/a.jpg": b"1"})
    s3.admit("fetch", (old.access_key_id, old.secret_access_key), "Read:data", "List:data")
    says = [old, old, new]  # what the Secret's files say, each time that they are read
    location = job(endpoint=s3.endpoint, prefix=prefix).dataset.train
    bucket = Bucket(location, old, patience=30, renewed=lambda: says.pop(0))
    (found,) = bucket.list("images/").objects.values()
    s3.admit("fetch", (new.access_key_id, new.secret_access_key), "Read:data", "List:data")
    read: list[bytes] = []
    bucket.read(found, 0, 1, lambda _, chunk: read.append(bytes(chunk)))
    assert (read, says) == ([b"1"], [])


def test_a_store_that_never_answered_is_given_up_soon_since_the_pod_holds_its_gpus(
    s3: S3Server, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "AT_FIRST", 0.5)
    prefix = upload({"images/a.jpg": b"1"})
    with proxied(s3.endpoint) as faults:
        location = job(endpoint=faults.endpoint, prefix=prefix).dataset.train
        bucket = Bucket(location, Keys(*s3.reader), patience=3600)
        faults.down = True
        with pytest.raises(Unavailable):
            bucket.list()
        faults.down = False
        bucket.list()
        faults.down = True  # from here on there is something to lose
        tries = faults.connections
        threading.Thread(target=lambda: back(faults, tries + 3), daemon=True).start()
        assert bucket.list("images/").objects


def back(faults: Faults, tries: int) -> None:
    """The store is there again after so many connections."""
    eventually(lambda: faults.connections >= tries)
    faults.down = False


def test_a_store_that_stays_away_is_unavailable_and_named(tmp_path: Path) -> None:
    spec = job(endpoint="http://127.0.0.1:1")
    with pytest.raises(Unavailable, match=r"bucket data at http://127\.0\.0\.1:1 did not answer"):
        fetch_split(spec, "train", tmp_path, environment(("a", "b")), patience=0.5)


@pytest.mark.parametrize("code", ["SlowDown", "PermanentRedirect"])
def test_a_store_that_answers_with_trouble_is_told_with_what_to_check(code: str) -> None:
    bucket = Bucket(job().dataset.train, None, patience=0)
    with Stubber(bucket._reach.connection.client) as store, pytest.raises(Unavailable) as caught:
        store.add_client_error("list_objects_v2", code)
        bucket.list("images/")
    assert str(caught.value) == (
        f"bucket data at http://127.0.0.1:1 answered {code} when asked to list images/: check the "
        "dataset's endpoint and region, and that the store is well"
    )


def test_a_store_that_sends_too_little_is_told_with_how_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket = Bucket(job().dataset.train, None, patience=0)
    monkeypatch.setattr(bucket, "_stream", lambda *_: iter([b"half"]))
    remote = RemoteObject("images/a.jpg", 2000, "", datetime.now(UTC))
    with pytest.raises(Unavailable) as caught:
        bucket.read(remote, 0, 2000, lambda *_: None)
    assert str(caught.value) == (
        "bucket data at http://127.0.0.1:1 sent 4 of 2,000 bytes of images/a.jpg: check the store "
        "and the network to it"
    )


def test_a_store_that_comes_back_is_waited_for(
    s3: S3Server, tmp_path: Path, upload: Upload
) -> None:
    prefix = upload(classification())
    with proxied(s3.endpoint) as proxy, ThreadPoolExecutor(1) as pool:
        proxy.down = True
        spec = job(endpoint=proxy.endpoint, prefix=prefix)
        running = pool.submit(
            fetch_split, spec, "train", tmp_path, environment(s3.reader), None, 60.0
        )
        eventually(lambda: proxy.connections >= 2)
        proxy.down = False
        running.result()
    assert len(open_datasets(job(), tmp_path).train.names) == 5


def test_answers_that_break_off_are_asked_for_again(
    s3: S3Server, tmp_path: Path, upload: Upload
) -> None:
    prefix = upload(classification(12))
    with proxied(s3.endpoint) as proxy:
        proxy.cut_after, proxy.cuts = 700, 4
        spec = job(endpoint=proxy.endpoint, prefix=prefix)
        progress = FetchProgress("train")
        fetch_split(spec, "train", tmp_path, environment(s3.reader), progress, patience=60)
        assert proxy.cuts == 0
    assert "12 images (100 %)" in progress.line()
    total = sum(map(len, classification(12).values()))
    assert progress.registry.get_sample_value("sihl_dataset_bytes", {"split": "train"}) == total


# --- large and damaged files -----------------------------------------------------------------


def bucket_of(s3: S3Server, endpoint: str | None = None) -> Bucket:
    location = job(endpoint=endpoint or s3.endpoint, bucket=BUCKET).dataset.train
    return Bucket(location, Keys(*s3.reader), patience=5)


def planned(bucket: Bucket, prefix: str, name: str) -> PlannedFile:
    return PlannedFile(bucket.list(f"{prefix}/").objects[name], PurePosixPath(name))


@pytest.mark.parametrize("multipart", [False, True])
def test_a_large_file_is_put_together_from_ranges(
    s3: S3Server,
    tmp_path: Path,
    upload: Upload,
    monkeypatch: pytest.MonkeyPatch,
    multipart: bool,
) -> None:
    monkeypatch.setattr(download_module, "PART_BYTES", 64 * 1024)
    body = os.urandom(5 * 2**20 + 1000) if multipart else os.urandom(300_001)
    prefix = upload({"small": b"x"})
    if multipart:
        made = s3.client.create_multipart_upload(Bucket=BUCKET, Key=f"{prefix}/big")
        where = {"Bucket": BUCKET, "Key": f"{prefix}/big", "UploadId": made["UploadId"]}
        parts = [
            {
                "PartNumber": n,
                "ETag": s3.client.upload_part(**where, PartNumber=n, Body=part)["ETag"],
            }
            for n, part in ((1, body[: 5 * 2**20]), (2, body[5 * 2**20 :]))
        ]
        s3.client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    else:
        s3.put(BUCKET, {f"{prefix}/big": body})
    bucket = bucket_of(s3)
    file = planned(bucket, prefix, "big")
    arrived: list[int] = []
    download(bucket, tmp_path, [file], arrived.append)
    assert (tmp_path / "big").read_bytes() == body
    assert sum(arrived) == len(body)
    assert is_complete(tmp_path, file)
    assert files_below(tmp_path) == {"big"}


def test_an_empty_object_is_an_empty_file(s3: S3Server, tmp_path: Path, upload: Upload) -> None:
    bucket = bucket_of(s3)
    download(bucket, tmp_path, [planned(bucket, upload({"a": b""}), "a")], lambda _: None)
    assert (tmp_path / "a").read_bytes() == b""


@pytest.mark.parametrize("repeated", [100, 20_000], ids=["in one piece", "by ranges"])
def test_a_file_damaged_on_its_way_is_fetched_again(
    s3: S3Server, tmp_path: Path, upload: Upload, monkeypatch: pytest.MonkeyPatch, repeated: int
) -> None:
    monkeypatch.setattr(download_module, "PART_BYTES", 64 * 1024)
    body = b"0123456789" * repeated
    prefix = upload({"a": body})
    with proxied(s3.endpoint) as proxy:
        bucket = bucket_of(s3, proxy.endpoint)
        file = planned(bucket, prefix, "a")
        proxy.damage, proxy.damages = (b"345", b"543"), 1
        arrived: list[int] = []
        download(bucket, tmp_path, [file], arrived.append)
        assert proxy.damages == 0
    assert (tmp_path / "a").read_bytes() == body
    assert sum(arrived) == len(body)


@pytest.mark.parametrize(
    ("encryption", "fetches"),
    [
        ({"ServerSideEncryption": "aws:kms"}, 1),
        ({"ServerSideEncryption": "aws:kms:dsse"}, 1),
        ({"SSECustomerAlgorithm": "AES256"}, 1),
        ({"ServerSideEncryption": "AES256"}, 2),
        ({}, 2),
    ],
)
def test_an_object_whose_etag_is_no_md5_since_it_is_encrypted_is_fetched_once(
    s3: S3Server, tmp_path: Path, upload: Upload, encryption: dict[str, str], fetches: int
) -> None:
    prefix = upload({"a": b"0123456789"})
    bucket = bucket_of(s3)
    file = planned(bucket, prefix, "a")
    listed = replace(file.remote, etag='"0123456789abcdef0123456789abcdef"')
    whole, read = bucket._stream, []

    def counted(remote: RemoteObject, start: int, end: int) -> Iterator[Any]:
        read.append(remote.key)
        return whole(file.remote, start, end)  # by the ETag that this server has for it

    bucket._stream = counted  # type: ignore[method-assign]
    with Stubber(bucket._reach.connection.client) as store:
        store.add_response("head_object", encryption, {"Bucket": BUCKET, "Key": file.remote.key})
        download(bucket, tmp_path, [replace(file, remote=listed)], lambda _: None)
    assert len(read) == fetches
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_a_file_whose_answer_breaks_off_midway_is_held_against_its_checksum_from_its_start(
    s3: S3Server, tmp_path: Path, upload: Upload, caplog: pytest.LogCaptureFixture
) -> None:
    body = os.urandom(3 * CHUNK_BYTES)
    prefix = upload({"a": body})
    bucket = bucket_of(s3)
    file = planned(bucket, prefix, "a")
    whole, breaks = bucket._stream, [2, 1]

    def broken(remote: RemoteObject, start: int, end: int) -> Iterator[Any]:
        return itertools.islice(whole(remote, start, end), breaks.pop() if breaks else None)

    bucket._stream = broken  # type: ignore[method-assign]
    arrived: list[int] = []
    download(bucket, tmp_path, [file], arrived.append)
    assert not breaks
    assert (tmp_path / "a").read_bytes() == body
    assert sum(arrived) == len(body)
    assert "another checksum" not in caplog.text


def test_a_file_that_keeps_arriving_damaged_is_not_kept(
    s3: S3Server, tmp_path: Path, upload: Upload
) -> None:
    prefix = upload({"a": b"0123456789" * 100})
    with proxied(s3.endpoint) as proxy:
        bucket = bucket_of(s3, proxy.endpoint)
        file = planned(bucket, prefix, "a")
        # Damages the first digits that are left whole: another damage each time.
        proxy.damage, proxy.damages = (b"345", b"543"), 1
        original = proxy.answer

        def worse(chunk: bytes, sent: int) -> tuple[bytes, bool]:
            if proxy.damages == 0:
                proxy.damage, proxy.damages = (b"678", b"876"), 1
            return original(chunk, sent)

        proxy.answer = worse  # type: ignore[method-assign]
        with pytest.raises(Unavailable, match="arrived damaged twice"):
            download(bucket, tmp_path, [file], lambda _: None)
    assert not (tmp_path / "a").exists()


def test_an_etag_that_is_no_checksum_is_not_held_against_the_file(
    s3: S3Server, tmp_path: Path, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Buckets encrypted with a key service list an ETag that looks like an MD5 and is none."""
    prefix = upload({"a": b"hello"})
    bucket = bucket_of(s3)
    file = planned(bucket, prefix, "a")
    other = RemoteObject(
        file.remote.key, 5, '"0123456789abcdef0123456789abcdef"', file.remote.modified
    )
    stream = Bucket._stream
    monkeypatch.setattr(
        Bucket, "_stream", lambda self, _, start, end: stream(self, file.remote, start, end)
    )
    download(bucket, tmp_path, [PlannedFile(other, file.path)], lambda _: None)
    assert (tmp_path / "a").read_bytes() == b"hello"


@pytest.mark.parametrize("gone", [False, True])
def test_an_object_that_changed_since_it_was_listed_is_not_taken(
    s3: S3Server, tmp_path: Path, upload: Upload, gone: bool
) -> None:
    bucket = bucket_of(s3)
    prefix = upload({"a": b"one"})
    file = planned(bucket, prefix, "a")
    if gone:
        s3.client.delete_object(Bucket=BUCKET, Key=f"{prefix}/a")
    else:
        s3.put(BUCKET, {f"{prefix}/a": b"two"})
    told = r"changed while it was fetched \(asked to read .*/a\): .* leave it as it is meanwhile"
    with pytest.raises(Changed, match=told) as caught:
        download(bucket, tmp_path, [file], lambda _: None)
    assert caught.value.exit_code == ExitCode.UNAVAILABLE
    assert not (tmp_path / "a").exists()


def test_a_full_disk_is_told(s3: S3Server, tmp_path: Path, upload: Upload) -> None:
    bucket = bucket_of(s3)
    prefix = upload({"a": b"x" * 100})
    file = planned(bucket, prefix, "a")
    (tmp_path / "a.sihl-part").symlink_to("/dev/full")  # each write ends with ENOSPC
    with pytest.raises(DiskFull, match="disk filled up"):
        download(bucket, tmp_path, [file], lambda _: None)


# --- the container ---------------------------------------------------------------------------


def container(
    s3: S3Server, spec: TrainingJobSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, Result | None]:
    """Runs the container's entry point here; its exit code and what its termination log says."""
    log = tmp_path / "termination-log"
    raw = spec.model_dump(by_alias=True, exclude_none=True, mode="json")
    monkeypatch.setenv(PATH_VARIABLE, str(log))
    monkeypatch.setenv(Env.JOB, reference_json("default", "a-job", "uid", raw))
    for name, value in environment(s3.reader).items():
        monkeypatch.setenv(name, value)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        code = fetch_main("train", tmp_path / "dataset", port=0, patience=1)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return code, read_result(log.read_text())


def test_a_container_that_fetched_ends_with_zero(
    s3: S3Server, tmp_path: Path, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dataset").mkdir()
    spec = job(endpoint=s3.endpoint, prefix=upload(classification()))
    code, result = container(s3, spec, tmp_path, monkeypatch)
    assert (code, result and result.reason) == (ExitCode.SUCCEEDED, "DatasetFetched")


@pytest.mark.parametrize(
    ("prefix", "bucket", "endpoint", "code", "reason"),
    [
        ("nothing/here", BUCKET, None, ExitCode.BAD_DATA, "DatasetEmpty"),
        ("", "nowhere", None, ExitCode.REFUSED, "DatasetAccessDenied"),
        ("", BUCKET, "http://127.0.0.1:1", ExitCode.UNAVAILABLE, "DatasetUnavailable"),
    ],
)
def test_a_container_that_failed_tells_why_by_exit_code_and_termination_log(
    s3: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prefix: str,
    bucket: str,
    endpoint: str | None,
    code: ExitCode,
    reason: str,
) -> None:
    spec = job(endpoint=endpoint or s3.endpoint, prefix=prefix, bucket=bucket)
    found, result = container(s3, spec, tmp_path, monkeypatch)
    assert result is not None
    assert (found, result.reason) == (code, reason)
    assert result.message


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        ({"accessKeyId": READER[0], "secretAccessKey": READER[1]}, ExitCode.REFUSED,
         "StoreAccessRefused"),
        ({"bucket": "nowhere"}, ExitCode.REFUSED, "StoreBucketMissing"),
        ({"endpoint": "http://127.0.0.1:1"}, ExitCode.UNAVAILABLE, "StoreUnavailable"),
        ({}, ExitCode.SUCCEEDED, "DatasetFetched"),
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_written_is_told_before_anything_is_fetched(
    s3: S3Server,
    tmp_path: Path,
    upload: Upload,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, str],
    code: ExitCode,
    reason: str,
) -> None:
    (tmp_path / "dataset").mkdir()
    spec = job(endpoint=s3.endpoint, prefix=upload(classification()))
    keys = {"endpoint": s3.endpoint, "bucket": BUCKET, "prefix": spec.dataset.train.prefix,
            "accessKeyId": s3.admin[0], "secretAccessKey": s3.admin[1], **change}  # fmt: skip
    for key, value in keys.items():
        monkeypatch.setenv(Env.store(key), value)
    monkeypatch.setenv(Env.ATTEMPT, "1")
    found, result = container(s3, spec, tmp_path, monkeypatch)
    assert (found, result and result.reason) == (code, reason)
    assert bool(files_below(tmp_path / "dataset")) is (code is ExitCode.SUCCEEDED)
    stored = s3.client.list_objects_v2(Bucket=BUCKET, Prefix=keys["prefix"])["Contents"]
    assert not [item["Key"] for item in stored if "attempts" in item["Key"]]  # nothing is left


def test_a_container_without_its_job_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PATH_VARIABLE, str(tmp_path / "log"))
    monkeypatch.setenv(Env.JOB, "{}")
    assert fetch_main("train", tmp_path, port=0) == ExitCode.BAD_CONFIG
    result = read_result((tmp_path / "log").read_text())
    assert result is not None
    assert result.reason == "JobUnreadable"
    assert "take one of the operator's release, in runner.image or the chart's" in result.message


def test_a_container_that_crashes_says_where_to_look(
    s3: S3Server, tmp_path: Path, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dataset").write_bytes(b"in the way")
    spec = job(endpoint=s3.endpoint, prefix=upload(classification()))
    code, result = container(s3, spec, tmp_path, monkeypatch)
    assert code == ExitCode.CRASHED
    assert result is not None
    assert result.reason == "FetchCrashed"
    assert result.message.startswith("the fetch of the train dataset failed unexpectedly (")
    assert result.message.endswith("report it, with the log of container fetch-train")


@pytest.mark.slow
def test_sigterm_ends_a_fetch_at_once_and_says_that_there_is_no_checkpoint(
    s3: S3Server, tmp_path: Path, upload: Upload
) -> None:
    spec = job(endpoint="http://127.0.0.1:1", prefix=upload({"metadata.yaml": b""}))
    raw = spec.model_dump(by_alias=True, exclude_none=True, mode="json")
    log = tmp_path / "termination-log"
    variables = environment(s3.reader) | {
        PATH_VARIABLE: str(log),
        Env.JOB: reference_json("default", "a-job", "uid", raw),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    program = (
        "import os, sys; from pathlib import Path\n"
        "from sihl_trainer.fetch.main import fetch_main\n"
        "from sihl_trainer.loglines import log_to_console\n"
        "log_to_console(os.environ)\n"
        f"sys.exit(fetch_main('train', Path({str(tmp_path)!r}), port=0))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | variables, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    assert "Trying again" in process.stdout.readline()  # it waits for a store that is away
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == ExitCode.STOPPED_WITHOUT_CHECKPOINT
    result = read_result(log.read_text())
    assert result is not None
    assert result.reason == "StoppedWhileFetching"


# --- the pod's port --------------------------------------------------------------------------


def get(server: ProgressServer, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=10) as answer:
        return bytes(answer.read())


def test_the_pods_port_serves_metrics_and_progress() -> None:
    registry = CollectorRegistry()
    Gauge("sihl_test", "A test's.", registry=registry).set(42)
    progress = FetchProgress("train")
    progress.fetching(total=1000, present=100)
    progress.advance(400)
    with ProgressServer(progress.report, registry, port=0) as server:
        assert b"sihl_test 42.0" in get(server, "/metrics")
        answer = json.loads(get(server, "/progress"))
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(server, "/else")
    report = ProgressReport.model_validate(answer)
    assert report.stage == "Fetching"
    assert (report.progress.dataset_bytes, report.progress.dataset_total_bytes) == (500, 1000)
    assert report.progress.remaining is not None


def test_what_was_fetched_is_all_there_while_it_is_checked() -> None:
    progress = FetchProgress("train")
    progress.fetching(total=1000, present=0)
    progress.checking(images=3)
    told = progress.report().progress
    assert (told.dataset_bytes, told.dataset_total_bytes) == (1000, 1000)


def test_a_line_says_how_far_the_fetch_is_and_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = datetime.now(UTC).timestamp()
    monkeypatch.setattr("sihl_trainer.fetch.progress.time.monotonic", lambda: now)
    progress = FetchProgress("train")
    progress.fetching(total=10 * 2**20, present=2 * 2**20)
    now += 2
    progress.advance(2 * 2**20)
    assert progress.line() == ("Fetching train: 4.0 MiB of 10.0 MiB (40 %), 1.0 MiB/s, 6s left")


def test_an_error_carries_its_result() -> None:
    error: TrainerError = BadData("DatasetEmpty", "nothing")
    assert error.result == Result(reason="DatasetEmpty", message="nothing")
