"""Bad input ends, or waits, with a condition that names the thing and the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e.harness import BARE, Harness, Job
from tests.support.proxy import proxied
from tests.support.s3 import serve

DETECT: Job = {
    "model": {
        "backbone": {"name": "resnet18"},
        "heads": [{"name": "boxes", "task": "ObjectDetection", "levels": [4, 4]}],
    }
}


@dataclass(frozen=True)
class Case:
    """One fault, and what its condition must say: the thing at fault, then the remedy.

    `IMAGE` stands for the name of the first image, in files' names and contents too; `OTHER`, in
    contents, for that of the second.
    """

    reason: str
    says: tuple[str, ...]
    prefix: str = "datasets/few"
    change: Job = field(default_factory=dict)
    location: Job = field(default_factory=dict)
    files: dict[str, bytes | None] = field(default_factory=dict)  # None: removed
    phase: str = "Failed"
    condition: str = "Failed"
    attempts: int = 1  # of the two that `runner.retries` allows
    elsewhere: bool = False  # in another store

    @property
    def waits(self) -> bool:
        """Whether the job tries again and again, and none of it is counted."""
        return self.phase == "Queued" and self.attempts > 0


CASES: dict[str, Case] = {
    # Keys and what they may do can be mended while the job waits.
    "wrong-credentials": Case(
        "DatasetAccessDenied",
        ("bucket e2e at ", "correct accessKeyId and secretAccessKey in Secret wrong"),
        location={"credentials": {"secretName": "wrong"}},
        phase="Queued", condition="Admitted",
    ),
    "bucket-out-of-sight": Case(
        "DatasetAccessDenied",
        ("bucket not-granted at ", "grant them read and list, or correct the dataset's bucket"),
        location={"bucket": "not-granted"},
        phase="Queued", condition="Admitted",
    ),
    "missing-bucket": Case(
        "DatasetBucketNotFound",
        ("no bucket no-such-bucket at ", "correct the dataset's bucket or endpoint"),
        location={"bucket": "no-such-bucket", "credentials": {"secretName": "elsewhere"}},
        elsewhere=True,
    ),
    # A Secret may yet come: waited for, and tried again.
    "missing-secret": Case(
        "PodNotConfigured",
        ('"absent" not found', "must exist in namespace e2e with the keys accessKeyId and",
         "no failure is counted"),
        location={"credentials": {"secretName": "absent"}},
        phase="Queued", condition="Admitted",
    ),
    # One that the job itself names, and that the registry does not have, is counted.
    "image-not-pulled": Case(
        "ImageNotPulled",
        ("There is no image 'localhost:5000/no/such:image'", "or correct spec.runner.image"),
        change={"runner": {"image": "localhost:5000/no/such:image"}},
        attempts=2,
    ),
    "missing-metadata": Case(
        "DatasetMetadataMissing",
        ("no metadata.yaml", "datasets/missing-metadata/: the dataset needs one, next to images/"),
        files={"metadata.yaml": None},
    ),
    "missing-annotations": Case(
        "DatasetAnnotationsMissing",
        ("annotations.yaml", "upload it, or correct `annotations` in the metadata"),
        files={"annotations.yaml": None},
    ),
    "malformed-yaml": Case(
        "DatasetMalformed",
        ("annotations.yaml, line 2", "correct what stands there or just before"),
        files={"annotations.yaml": b"a: [1, 2\n"},
    ),
    "unknown-category": Case(
        "DatasetAnnotationInvalid",
        ('annotations.yaml, line 1, "IMAGE"', "'elephant'", "zero", "add it to `categories`"),
        files={"annotations.yaml": b"IMAGE: elephant\n"},
    ),
    "box-outside": Case(
        "DatasetAnnotationInvalid",
        ('boxes.yaml, "IMAGE", box 1', "32 pixels wide", "correct the box"),
        change=DETECT,
        files={
            "metadata.yaml": b"task: object detection\ncategories: [one]\n"
            b"annotations: boxes.yaml\n",
            "boxes.yaml": b"IMAGE: [{category: one, bbox: [1, 1, 900, 10]}]\nOTHER: []\n",
        },
    ),
    "truncated-jpeg": Case(
        "DatasetImageUnreadable",
        ("images/IMAGE", "data ends before the picture does",
         "replace the file, or remove it and what annotates it"),
        files={"images/IMAGE": b"TRUNCATED"},
    ),
    "wrong-task": Case(
        "AnnotationsUnsuitable",
        ("boxes", "object detection", "multiclass classification", "change the head's task or"),
        change=DETECT,
    ),
    "dataset-too-large": Case(
        "DatasetTooLarge",
        ("runner.datasetSize allows, 1Ki", "set runner.datasetSize to 1Mi or more"),
        change={"runner": {"datasetSize": "1Ki"}},
    ),
    "dataset-larger-than-the-disk": Case(
        "DatasetTooLarge",
        ("1.1 GiB", "the node's disk has only", "free some, or choose nodes with larger disks by "
         "runner.nodeSelector"),
        prefix="datasets/large",
        change={
            "runner": {
                "datasetSize": "10Gi",
                "nodeSelector": {"kubernetes.io/hostname": "node-2"},
            }
        },
    ),
    "more-gpus-than-any-node": Case(
        "NoNodeFits",
        ("8 nvidia.com/gpu", "largest node has 1", "ask for less in spec.runner, or add a node"),
        change={"runner": {"gpus": 8}, "training": {"batchSize": 16}},
        phase="Queued", condition="Admitted", attempts=0,
    ),
    "more-memory-than-allowed": Case(
        "OutOfMemory",
        ("raise spec.runner.resources.limits.memory, or lower ", "training.batchSize"),
        change={
            "runner": {"resources": {"limits": {"memory": "600Mi"}}},
            "training": {"batchSize": 64, "inputSize": {"width": 512, "height": 512}},
        },
    ),
}  # fmt: skip


def first_images(harness: Harness) -> list[str]:
    """The names of the small dataset's first two images."""
    folder = "datasets/few/images/"
    return [key.removeprefix(folder) for key in sorted(harness.store.keys(folder))[:2]]


def prepared(harness: Harness, name: str, case: Case) -> str:
    """A copy of the small dataset with the fault in it; returns its prefix."""
    if not case.files:
        return case.prefix
    store, prefix = harness.store, f"datasets/{name}"
    keys = [key for key in store.keys("datasets/few/") if key.count("/") <= 3]
    files = {key.removeprefix("datasets/few/"): key for key in keys}
    image, other = first_images(harness)
    changes = {
        path.replace("IMAGE", image): data
        and data.replace(b"IMAGE", image.encode()).replace(b"OTHER", other.encode())
        for path, data in case.files.items()
    }
    for path, key in files.items():
        if path.startswith(("train/", "validation/")) or path in changes:
            continue
        store.put(f"{prefix}/{path}", store.get(key))
    for path, data in changes.items():
        if data == b"TRUNCATED":
            data = store.get(files[path])[:-200]
        if data is not None:
            store.put(f"{prefix}/{path}", data)
    return prefix


@pytest.fixture(scope="module")
def elsewhere(harness: Harness, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store whose keys see all buckets: the embedded one's are never told that there is none."""
    gateway = harness.cluster.nodes[0].settings.address
    with (
        serve(tmp_path_factory.mktemp("elsewhere")) as server,
        proxied(server.endpoint, gateway) as road,
    ):
        harness.secret("e2e", "elsewhere", *server.admin)
        yield road.endpoint


@pytest.fixture(scope="module")
def submitted(harness: Harness, elsewhere: str) -> dict[str, Case]:
    """All faults at once: each in a queue of its own."""
    harness.secret("e2e", "wrong", "nobody", "nothing")
    for name, case in CASES.items():
        location = harness.location(prepared(harness, name, case), **case.location)
        location |= {"endpoint": elsewhere} if case.elsewhere else {}
        harness.submit(name, f"q-{name}", {**case.change, "dataset": {"train": location}})
    return CASES


@pytest.mark.parametrize("name", CASES)
def test_the_condition_names_what_is_wrong_and_what_to_do_and_no_retry_is_wasted(
    harness: Harness, submitted: dict[str, Case], name: str
) -> None:
    case, image = submitted[name], first_images(harness)[0]

    def told() -> dict[str, Any] | None:
        status = harness.status(name)
        if status.get("phase") == "Succeeded":
            raise AssertionError(harness.story(name))
        condition = harness.condition(name, case.condition)
        wanted = "False" if case.condition == "Admitted" else "True"
        found = status.get("phase") == case.phase and condition.get("status") == wanted
        if case.waits:  # between its attempts it may wait for its turn, or for room
            found = found and condition["reason"] == case.reason
        return condition if found and condition["reason"] != "WaitingForQueue" else None

    condition = harness.until(told, f"{name}: {case.phase} with a condition", name)
    assert condition["reason"] == case.reason
    for text in case.says:
        assert text.replace("IMAGE", image) in condition["message"]
    status = harness.status(name)
    if case.waits:
        assert status["attempt"] >= case.attempts
        assert not status.get("failures")
    else:
        assert (status.get("attempt") or 0) == case.attempts


def test_a_job_without_the_stores_secret_says_so_and_trains_once_it_is_there(
    harness: Harness,
) -> None:
    patient = {"training": {"maxSteps": 2}, "runner": {"retries": 5}}
    harness.submit("no-store", "q-no-store", patient, BARE)

    def told() -> str | None:
        conditions = harness.status("no-store", BARE).get("conditions", [])
        texts = [c["message"] for c in conditions if c["reason"] == "PodNotConfigured"]
        return texts[0] if texts else None

    message = harness.until(told, "a condition that says so", "no-store", BARE)
    for text in (
        '"sihl-store" not found',
        f"must exist in namespace {BARE}",
        "endpoint and bucket",
    ):
        assert text in message
    harness.store_secret(BARE, harness.store.inside, "bare")
    assert harness.wait("no-store", "Succeeded", namespace=BARE)["model"]


def test_a_secrets_value_is_in_no_status_log_or_event(harness: Harness) -> None:
    secret = harness.store.secret_key
    everything = [
        harness.cluster.kubectl("get", kind, "-n", "e2e", "-o", "yaml")
        for kind in ("trainingjobs", "events", "pods")
    ]
    everything += [
        harness.store.get(key).decode(errors="replace")
        for key in harness.store.keys("e2e/")
        if key.endswith((".json", ".jsonl", ".txt"))
    ]
    assert not any(secret in text for text in everything)


def test_pods_pass_the_restricted_standard_that_their_namespace_enforces(harness: Harness) -> None:
    namespace = harness.core.read_namespace("e2e")
    assert namespace.metadata.labels["pod-security.kubernetes.io/enforce"] == "restricted"
