"""What a cluster does to jobs: deletions, drains, kills, a leader that dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.harness import SYSTEM, Harness, Job

LONG: Job = {"training": {"maxSteps": 100_000, "validations": 1}}
SAVES_OFTEN: Job = {
    "training": {"maxSteps": 60, "validations": 1, "batchSize": 16},
    "runner": {"checkpointInterval": "1s"},
}


def processes_of(pod_uid: str, command: bytes) -> list[int]:
    """Host ids of a pod's processes whose command line has `command`."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if pod_uid in (folder / "cgroup").read_text() and command in (
                folder / "cmdline"
            ).read_bytes().replace(b"\0", b" "):
                found.append(int(folder.name))
        except (OSError, ValueError):
            continue
    return found


@contextmanager
def drained(harness: Harness, node: str, job: str) -> Iterator[None]:
    """A node that a job's pod has left and that takes no new ones, as an administrator makes it."""
    try:
        harness.cluster.kubectl(
            "drain", node, f"--pod-selector=sihl.ai/job={job}", "--force",
            "--delete-emptydir-data", "--timeout=5m",
        )  # fmt: skip
        yield
    finally:
        harness.cluster.kubectl("uncordon", node)


def test_a_deleted_job_leaves_its_checkpoint_to_the_record_and_its_queue_to_the_next(
    harness: Harness, tmp_path: Path
) -> None:
    harness.submit("deleted", "q-deleted", LONG)
    harness.wait_stage("deleted", "q-deleted", "Training", step=2)
    pod, record = harness.pod("q-deleted").metadata.uid, harness.record("deleted")
    harness.has_dataset(pod)
    harness.submit("after-deleted", "q-deleted", {"training": {"maxSteps": 2}})
    harness.delete("deleted")
    assert harness.wait("after-deleted", "Succeeded")["attempt"] == 1
    assert harness.dataset_folders(pod) == []
    assert harness.latest_checkpoint(record.attempts, tmp_path).step >= 2


def test_a_job_whose_node_is_drained_resumes_on_another_at_the_step_that_it_saved(
    harness: Harness, tmp_path: Path
) -> None:
    harness.submit("drained", "q-drained", {"training": {"maxSteps": 300, "validations": 1}})
    harness.wait_stage("drained", "q-drained", "Training", step=2)
    pod, record = harness.pod("q-drained"), harness.record("drained")
    harness.has_dataset(pod.metadata.uid)
    with drained(harness, pod.spec.node_name, "drained"):
        harness.until(lambda: not harness.dataset_folders(pod.metadata.uid), "its dataset is gone")
        status = harness.wait("drained", "Succeeded")
    assert (status["attempt"], status.get("failures", 0)) == (2, 0)
    assert status["progress"]["step"] == 300
    assert status["nodeName"] != pod.spec.node_name
    saved = harness.latest_checkpoint(record.attempt(1), tmp_path).step
    assert 2 <= saved < 300
    assert f"resuming at step {saved}\n" in harness.recorded_log(record, 2)


def test_a_killed_worker_is_retried_from_its_last_checkpoint(harness: Harness) -> None:
    harness.submit("killed", "q-killed", SAVES_OFTEN)
    harness.until(
        lambda: (harness.report("q-killed") or {}).get("checkpoint"), "a checkpoint", "killed"
    )
    uid = harness.pod("q-killed").metadata.uid
    for pid in processes_of(uid, b"sihl_trainer.training.worker"):
        os.kill(pid, signal.SIGKILL)
    status = harness.wait("killed", "Succeeded")
    assert status["attempt"] == 2
    assert status["failures"] == 1
    assert "resuming at step" in harness.recorded_log(harness.record("killed"), 2)


def test_the_leaders_death_costs_no_job_anything(harness: Harness) -> None:
    harness.submit("led", "q-led", {"training": {"maxSteps": 60, "batchSize": 16}})
    harness.submit("led-next", "q-led", {"training": {"maxSteps": 2}})
    harness.wait("led", "Running")
    lease = harness.cluster.kubectl(
        "get", "lease", "sihl-operator", "-n", SYSTEM, "-o", "jsonpath={.spec.holderIdentity}"
    )
    leader = harness.core.read_namespaced_pod(lease, SYSTEM)
    for pid in processes_of(leader.metadata.uid, b"sihl-operator"):
        os.kill(pid, signal.SIGKILL)
    assert harness.wait("led", "Succeeded")["attempt"] == 1
    assert harness.wait("led-next", "Succeeded")["attempt"] == 1
