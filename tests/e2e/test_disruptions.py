"""What a cluster does to jobs: deletions, drains, kills, a leader that dies."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from kubernetes.client import V1DeleteOptions, V1Eviction, V1ObjectMeta

from tests.e2e.harness import NAMESPACE, SYSTEM, Harness, Job

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


def test_a_deleted_job_takes_its_pod_along_and_leaves_the_queue_to_the_next(
    harness: Harness,
) -> None:
    harness.submit("deleted", "q-deleted", LONG)
    harness.wait("deleted", "Running")
    pod = harness.pod("q-deleted")
    harness.submit("after-deleted", "q-deleted", {"training": {"maxSteps": 2}})
    harness.delete("deleted")
    assert harness.wait("after-deleted", "Succeeded")["attempt"] == 1
    assert harness.dataset_folders(pod.metadata.uid) == []


def test_a_drained_job_checkpoints_and_goes_on_from_there(harness: Harness) -> None:
    harness.submit("drained", "q-drained", LONG)
    harness.wait_stage("drained", "q-drained", "Training", step=2)
    pod = harness.pod("q-drained")
    eviction = V1Eviction(
        metadata=V1ObjectMeta(name=pod.metadata.name, namespace=NAMESPACE),
        delete_options=V1DeleteOptions(),
    )
    harness.core.create_namespaced_pod_eviction(pod.metadata.name, NAMESPACE, eviction)
    harness.until(
        lambda: harness.status("drained").get("attempt") == 2
        and harness.status("drained").get("phase") == "Running",
        "a second attempt", "drained",
    )  # fmt: skip
    saved = harness.status("drained")["checkpoint"]["step"]
    assert saved >= 2
    harness.wait_stage("drained", "q-drained", "Training", step=saved)
    assert harness.status("drained").get("failures", 0) == 0
    harness.delete("drained")


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
    logs = [
        harness.store.get(key).decode()
        for key in harness.store.keys(harness.record("killed").attempt(2))
        if "/log-" in key
    ]
    assert "resuming at step" in "".join(logs)


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
