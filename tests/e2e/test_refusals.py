"""Bad input ends, or waits, with a condition that names the thing and the remedy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e.harness import Harness, Job

DETECT: Job = {
    "model": {
        "backbone": {"name": "resnet18"},
        "heads": [{"name": "boxes", "task": "ObjectDetection", "levels": [4, 4]}],
    }
}


@dataclass(frozen=True)
class Case:
    """One fault, and what its condition must say."""

    says: tuple[str, ...]
    prefix: str = "datasets/few"
    change: Job = field(default_factory=dict)
    location: Job = field(default_factory=dict)
    files: dict[str, bytes | None] = field(default_factory=dict)  # None: removed
    phase: str = "Failed"
    condition: str = "Failed"
    attempts: int = 1


CASES: dict[str, Case] = {
    "wrong-credentials": Case(("wrong", "e2e"), location={"credentials": {"secretName": "wrong"}}),
    "missing-bucket": Case(("no-such-bucket",), location={"bucket": "no-such-bucket"}),
    "missing-secret": Case(
        ("absent", "accessKeyId"), location={"credentials": {"secretName": "absent"}}, attempts=1,
        change={"runner": {"retries": 0}},
    ),
    "missing-metadata": Case(("metadata.yaml",), files={"metadata.yaml": None}),
    "malformed-yaml": Case(("annotations.yaml", "line"), files={"annotations.yaml": b"a: [1, 2\n"}),
    "unknown-category": Case(
        ("annotations.yaml", "elephant", "zero"), files={"annotations.yaml": b"IMAGE: elephant\n"}
    ),
    "box-outside": Case(
        ("boxes.yaml", "IMAGE", "32 pixels wide"), change=DETECT,
        files={
            "metadata.yaml": b"task: object detection\ncategories: [one]\n"
            b"annotations: boxes.yaml\n",
            "boxes.yaml": b"IMAGE: [{category: one, bbox: [1, 1, 900, 10]}]\n",
        },
    ),
    "truncated-jpeg": Case(("IMAGE",), files={"images/IMAGE": b"TRUNCATED"}),
    "wrong-task": Case(
        ("boxes", "object detection", "multiclass classification"), change=DETECT
    ),
    "dataset-too-large": Case(
        ("datasetSize", "1Ki", "1Mi"), change={"runner": {"datasetSize": "1Ki"}}
    ),
    "dataset-larger-than-the-disk": Case(
        ("1.1 GiB", "the node's disk has only", "runner.nodeSelector"),
        prefix="datasets/large",
        change={
            "runner": {
                "datasetSize": "10Gi",
                "nodeSelector": {"kubernetes.io/hostname": "node-2"},
            }
        },
    ),
    "image-not-pulled": Case(
        ("localhost:5000/no/such:image", "spec.runner.image"),
        change={"runner": {"image": "localhost:5000/no/such:image", "retries": 0}},
    ),
    "more-gpus-than-any-node": Case(
        ("8 nvidia.com/gpu", "largest node has 1"),
        change={"runner": {"gpus": 8}, "training": {"batchSize": 16}},
        phase="Queued", condition="Admitted", attempts=0,
    ),
    "more-memory-than-allowed": Case(
        ("spec.runner.resources.limits.memory",),
        change={
            "runner": {"resources": {"limits": {"memory": "600Mi"}}},
            "training": {"batchSize": 64, "inputSize": {"width": 512, "height": 512}},
        },
    ),
}  # fmt: skip


def prepared(harness: Harness, name: str, case: Case) -> str:
    """A copy of the small dataset with the fault in it; returns its prefix."""
    if not case.files:
        return case.prefix
    store, prefix = harness.store, f"datasets/{name}"
    keys = [key for key in store.keys("datasets/few/") if key.count("/") <= 3]
    files = {key.removeprefix("datasets/few/"): key for key in keys}
    image = min(name.removeprefix("images/") for name in files if name.startswith("images/"))
    changes = {
        path.replace("IMAGE", image): data and data.replace(b"IMAGE", image.encode())
        for path, data in case.files.items()
    }
    for path, key in files.items():
        if path.startswith(("train/", "validation/")) or path in changes:
            continue
        store.put(f"{prefix}/{path}", store.get(key))
    for path, data in changes.items():
        if data == b"TRUNCATED":
            data = store.get(files[path])[:300]
        if data is not None:
            store.put(f"{prefix}/{path}", data)
    return prefix


@pytest.fixture(scope="module")
def submitted(harness: Harness) -> dict[str, Case]:
    """All faults at once: each in a queue of its own."""
    harness.secret("e2e", "wrong", "nobody", "nothing")
    for name, case in CASES.items():
        location = harness.location(prepared(harness, name, case), **case.location)
        harness.submit(name, f"q-{name}", {**case.change, "dataset": {"train": location}})
    return CASES


@pytest.mark.parametrize("name", CASES)
def test_the_condition_names_what_is_wrong_and_no_retry_is_wasted(
    harness: Harness, submitted: dict[str, Case], name: str
) -> None:
    case = submitted[name]

    def told() -> dict[str, Any] | None:
        status = harness.status(name)
        if status.get("phase") == "Succeeded":
            raise AssertionError(harness.story(name))
        condition = harness.condition(name, case.condition)
        wanted = "False" if case.condition == "Admitted" else "True"
        found = status.get("phase") == case.phase and condition.get("status") == wanted
        return condition if found and condition["reason"] != "WaitingForQueue" else None

    condition = harness.until(told, f"{name}: {case.phase} with a condition", name)
    for text in case.says:
        if text != "IMAGE":
            assert text in condition["message"], condition
    assert (harness.status(name).get("attempt") or 0) == case.attempts


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
