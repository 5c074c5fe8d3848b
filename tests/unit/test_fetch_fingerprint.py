"""A dataset's fingerprint: the same for the same data wherever it lies, else it says how not."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from sihl_api.fingerprint import SplitFingerprint
from sihl_api.runtime import Env
from sihl_trainer.fetch.check import check_images, open_to_check
from sihl_trainer.fetch.fetched import fingerprint_of, read_fetched, write_fetched
from sihl_trainer.fetch.fingerprint import fingerprint, marks_on_disk
from sihl_trainer.fetch.main import fetch_split
from sihl_trainer.fetch.progress import FetchProgress
from tests.support.datasets import BOX_HEAD, CLASSES, classification, detection, job, jpeg, write
from tests.support.s3 import S3Server

Files = dict[str, bytes]


def of(folder: Path, files: Files, *heads: dict[str, str]) -> SplitFingerprint:
    """The fingerprint of files on this machine."""
    write(folder / "train", files)
    opened = open_to_check(job(*heads), "train", folder)
    check_images(opened, FetchProgress("train"))
    return fingerprint(opened, marks_on_disk(opened))


def test_a_copy_has_the_fingerprint_of_what_lies_in_a_bucket(s3: S3Server, tmp_path: Path) -> None:
    prefix, files = uuid.uuid4().hex, detection()
    s3.put("data", {f"{prefix}/{name}": body for name, body in files.items()})
    keys = dict(zip(("accessKeyId", "secretAccessKey"), s3.reader, strict=True))
    environ = {Env.dataset(key): value for key, value in keys.items()}
    spec = job(BOX_HEAD, endpoint=s3.endpoint, prefix=prefix)
    fetch_split(spec, "train", tmp_path, environ)
    told = read_fetched(tmp_path)["train"]
    assert told.started_at <= told.fetched_at
    assert told.fingerprint == of(tmp_path / "copy", files, BOX_HEAD)
    assert told.fingerprint.annotations["annotations"].counts == {"cat": 6, "dog": 0}


def changed(files: Files, name: str, by: Callable[[bytes], bytes]) -> Files:
    return {**files, name: by(files[name])}


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (lambda files: files | {"README.md": b"x"}, set()),
        (lambda files: files | {"images/0.jpg": jpeg(seed=9)}, {"objects", "bytes"}),
        (lambda files: files | {"images/new.jpg": jpeg()}, {"objects", "bytes", "images"}),
        (
            lambda files: changed(files, "annotations.yaml", lambda t: t.replace(b"cat", b"dog")),
            {"annotations"},
        ),
        (
            lambda files: changed(files, "metadata.yaml", lambda t: t + b"licence: none\n"),
            {"metadata"},
        ),
    ],
)
def test_what_differs_is_told_apart(
    tmp_path: Path, change: Callable[[Files], Files], differs: set[str]
) -> None:
    files = classification()
    before = of(tmp_path / "before", files).model_dump()
    after = of(tmp_path / "after", change(files)).model_dump()
    assert {name for name in before if before[name] != after[name]} == differs


def test_of_many_categories_the_most_frequent_are_counted_and_the_rest_summed_up(
    tmp_path: Path,
) -> None:
    names = [f"c{number}" for number in range(250)]
    metadata = CLASSES.replace("[cat, dog]", f"[{', '.join(names)}]")
    rare = [f"{number}.jpg: {name}\n" for number, name in enumerate(names)]
    frequent = [f"more{number}.jpg: c249\n" for number in range(3)]
    images = [line.split(":")[0] for line in [*rare, *frequent]]
    files = {
        "metadata.yaml": metadata.encode(),
        "annotations.yaml": "".join([*rare, *frequent]).encode(),
        **{f"images/{image}": jpeg(8, 8) for image in images},
    }
    told = of(tmp_path, files).annotations["annotations"]
    assert told.counts is not None
    assert len(told.counts) == 200
    assert next(iter(told.counts.items())) == ("c249", 4)
    assert told.others == 50


def test_images_alone_have_no_annotations_to_tell_of(tmp_path: Path) -> None:
    files = {f"images/{number}.jpg": jpeg(seed=number) for number in range(4)}
    told = of(tmp_path, files, {"name": "views", "task": "ViewInvariance"})
    assert (told.images, told.metadata, told.annotations) == (4, None, {})


def test_word_of_a_dataset_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert fingerprint_of(read_fetched(tmp_path)) is None
    write_fetched(tmp_path, "train", "t", SplitFingerprint(images=1, bytes=1, objects="o"))
    (tmp_path / "validation.fetched.json").write_text("{")
    told = fingerprint_of(read_fetched(tmp_path))
    assert told is not None
    assert (told.train is not None, told.validation) == (True, None)


def test_a_disk_without_room_for_a_word_costs_the_fetch_nothing(tmp_path: Path) -> None:
    nowhere = tmp_path / "gone"
    write_fetched(nowhere, "train", "t", SplitFingerprint(images=1, bytes=1, objects="o"))
    assert read_fetched(nowhere) == {}
