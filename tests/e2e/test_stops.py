"""A job can be stopped at any moment: it checkpoints, its dataset goes, the next one starts."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.harness import SLOW, Harness, Job
from tests.support.proxy import Faults

LONG: Job = {"training": {"maxSteps": 100_000, "validations": 1}}


def stopped(harness: Harness, name: str, project: str, namespace: str = "e2e") -> Job:
    """Stop a job; what must hold however it ends."""
    pod = harness.pod(project, namespace).metadata.uid
    harness.has_dataset(pod)
    harness.submit(f"{name}-next", project, {"training": {"maxSteps": 2}}, namespace)
    harness.suspend(name, namespace=namespace)
    status = harness.wait(name, "Stopped", namespace=namespace)
    harness.until(
        lambda: not harness.dataset_folders(pod), "the dataset's folder gone", name, namespace
    )
    harness.wait(f"{name}-next", "Starting", "Running", "Succeeded", namespace=namespace)
    return status


def test_a_stop_while_the_dataset_downloads_leaves_no_checkpoint_and_says_so(
    harness: Harness, roads: dict[str, Faults]
) -> None:
    slow = {"train": harness.location("datasets/few", endpoint=roads["slow-dataset"].endpoint)}
    harness.submit("stop-download", "q-download", {**LONG, "dataset": slow})
    harness.wait_stage("stop-download", "q-download", "Fetching")
    stopped(harness, "stop-download", "q-download")
    saved = harness.condition("stop-download", "CheckpointSaved")
    assert saved["status"] == "False"
    assert "before its first step" in saved["message"]


def test_a_stop_while_training_leaves_a_checkpoint_whose_checksums_hold(
    harness: Harness, tmp_path: Path
) -> None:
    harness.submit("stop-training", "q-training", LONG)
    harness.wait_stage("stop-training", "q-training", "Training", step=2)
    status = stopped(harness, "stop-training", "q-training")
    manifest = harness.checkpoint_holds(status, tmp_path)
    assert manifest.step >= 2
    assert harness.condition("stop-training", "CheckpointSaved")["status"] == "True"


def test_a_stop_during_validation_leaves_a_checkpoint_whose_checksums_hold(
    harness: Harness, tmp_path: Path
) -> None:
    # Three of four images are for validation, and each step is followed by one.
    often = {
        "training": {"maxSteps": 1000, "validations": 1000, "batchSize": 2},
        "dataset": {"train": harness.location("datasets/few"), "validationFraction": 0.75},
    }
    harness.submit("stop-validation", "q-validation", often)
    harness.wait_stage("stop-validation", "q-validation", "Validating", step=1)
    status = stopped(harness, "stop-validation", "q-validation")
    harness.checkpoint_holds(status, tmp_path)


def test_a_stop_during_a_checkpoints_upload_leaves_one_whose_checksums_hold(
    harness: Harness, tmp_path: Path
) -> None:
    change = {**LONG, "runner": {"checkpointInterval": "2s"}}
    harness.submit("stop-upload", "q-upload", change, namespace=SLOW)
    record = harness.record("stop-upload", SLOW, prefix="slow")

    def uploading() -> bool:
        keys = harness.store.keys(record.attempt(1))
        return any("/checkpoints/" in key for key in keys) and not any(
            key.endswith("manifest.json") for key in keys
        )

    harness.until(uploading, "an upload under way", "stop-upload", SLOW)
    status = stopped(harness, "stop-upload", "q-upload", SLOW)
    harness.checkpoint_holds(status, tmp_path)


def test_a_resumed_job_ends_with_the_weights_of_one_that_was_never_stopped(
    harness: Harness,
) -> None:
    same = {"training": {"maxSteps": 40, "validations": 4, "batchSize": 4}}
    harness.submit("straight", "q-straight", same)
    harness.submit("broken", "q-broken", same)
    for step in (3, 20):
        harness.wait_stage("broken", "q-broken", "Training", "Validating", step=step)
        harness.suspend("broken")
        status = harness.wait("broken", "Stopped", "Succeeded")
        if status["phase"] == "Succeeded":
            break
        assert step <= status["checkpoint"]["step"] < 40
        harness.suspend("broken", False)
    broken, straight = harness.wait("broken", "Succeeded"), harness.wait("straight", "Succeeded")
    assert broken["attempt"] >= 2
    assert broken["model"]["checksum"] == straight["model"]["checksum"]


def test_a_job_that_is_suspended_while_it_waits_never_starts(harness: Harness) -> None:
    harness.submit("holds", "q-waits", LONG)
    harness.wait("holds", "Starting", "Running")
    harness.submit("waits", "q-waits", LONG)
    harness.wait("waits", "Queued")
    harness.suspend("waits")
    assert harness.wait("waits", "Stopped").get("attempt", 0) == 0
    harness.suspend("holds")
    harness.wait("holds", "Stopped")
