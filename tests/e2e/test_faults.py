"""What breaks under jobs: the operator, the API server, the store, an upgrade in their midst."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_cluster.process import run
from local_cluster.programs import program
from tests.e2e.harness import NAMESPACE, SLOW, SYSTEM, Harness, Job, PodHistory
from tests.e2e.test_disruptions import processes_of
from tests.support.chart import packaged
from tests.support.proxy import Faults

LONG: Job = {"training": {"maxSteps": 100_000, "validations": 1}}
SHORT: Job = {"training": {"maxSteps": 2}}
OPERATOR = "app.kubernetes.io/component=operator"


@pytest.fixture(autouse=True)
def one_at_a_time(harness: Harness) -> Iterator[None]:
    """Whatever breaks, no queue ever has two pods at once."""
    history = PodHistory(harness.core, NAMESPACE)
    yield
    history.stop()
    assert all(most <= 1 for most in history.most_at_once().values())


def kill_operators(harness: Harness) -> None:
    """All replicas at once, by SIGKILL; their pods are replaced, not restarted with a delay."""
    pods = harness.core.list_namespaced_pod(SYSTEM, label_selector=OPERATOR).items
    for pod in pods:
        for pid in processes_of(pod.metadata.uid, b"sihl-operator"):
            os.kill(pid, signal.SIGKILL)
    for pod in pods:
        harness.core.delete_namespaced_pod(pod.metadata.name, SYSTEM, grace_period_seconds=0)


def leader(harness: Harness) -> str:
    """The pod that holds the Lease."""
    lease = ("get", "lease", "sihl-operator", "-n", SYSTEM)
    return harness.cluster.kubectl(*lease, "-o", "jsonpath={.spec.holderIdentity}")


@pytest.mark.parametrize("step", ["Queued", "Starting", "Fetched", "Running", "Stopping"])
def test_an_operator_that_is_killed_between_two_steps_has_them_finished_by_the_next(
    harness: Harness, step: str
) -> None:
    name, queue = f"step-{step.lower()}", f"q-{step.lower()}"
    harness.submit(name, queue, LONG)
    if step == "Fetched":
        harness.until(lambda: harness.pod(queue), "a pod", name)
    elif step == "Stopping":
        harness.wait(name, "Running")
        harness.suspend(name)
        harness.wait(name, "Stopping", "Stopped")
    elif step != "Queued":
        harness.wait(name, step, "Running")
    kill_operators(harness)
    harness.submit(f"{name}-next", queue, SHORT)
    if step != "Stopping":
        assert harness.wait(name, "Running")["attempt"] <= 2
        harness.suspend(name)
    status = harness.wait(name, "Stopped")
    assert status.get("failures", 0) == 0
    assert harness.wait(f"{name}-next", "Succeeded")["attempt"] == 1


def test_a_leader_that_sleeps_until_another_leads_does_no_harm_when_it_wakes(
    harness: Harness,
) -> None:
    harness.submit("sleeps", "q-sleeps", LONG)
    harness.wait("sleeps", "Running")
    first = leader(harness)
    uid = harness.core.read_namespaced_pod(first, SYSTEM).metadata.uid
    sleepers = processes_of(uid, b"sihl-operator")
    assert sleepers
    for pid in sleepers:
        os.kill(pid, signal.SIGSTOP)
    try:
        harness.until(lambda: leader(harness) != first, "another leader", "sleeps")
        harness.suspend("sleeps")
        harness.submit("sleeps-next", "q-sleeps", SHORT)
        harness.wait("sleeps", "Stopped")
    finally:
        for pid in processes_of(uid, b"sihl-operator"):
            os.kill(pid, signal.SIGCONT)
    assert harness.wait("sleeps-next", "Succeeded")["attempt"] == 1
    assert harness.status("sleeps")["phase"] == "Stopped"


def test_what_a_pod_does_after_it_was_forced_away_counts_for_nothing(harness: Harness) -> None:
    often = {"training": {"maxSteps": 60}, "runner": {"checkpointInterval": "1s"}}
    harness.submit("forced", "q-forced", often)
    harness.wait_stage("forced", "q-forced", "Training", step=2)
    pod = harness.pod("q-forced")
    harness.has_dataset(pod.metadata.uid)
    harness.core.delete_namespaced_pod(pod.metadata.name, NAMESPACE, grace_period_seconds=0)
    status = harness.wait("forced", "Succeeded")
    assert status["attempt"] == 2
    assert status.get("failures", 0) == 0
    assert harness.pod("q-forced") is None or harness.pod("q-forced").metadata.uid != (
        pod.metadata.uid
    )
    harness.until(
        lambda: not processes_of(pod.metadata.uid, b"sihl_trainer"), "its processes end", "forced"
    )
    harness.until(lambda: not harness.dataset_folders(pod.metadata.uid), "its dataset is gone")


@pytest.mark.parametrize("moment", ["training", "stop"])
def test_a_store_that_is_away_for_a_while_costs_waiting_and_nothing_else(
    harness: Harness, roads: dict[str, Faults], tmp_path: Path, moment: str
) -> None:
    road, name, queue = roads["slow-store"], f"away-{moment}", f"q-away-{moment}"
    harness.submit(name, queue, {**LONG, "runner": {"checkpointInterval": "2s"}}, SLOW)

    def saved() -> int:
        report = harness.report(queue, SLOW) or {}
        return int((report.get("checkpoint") or {}).get("step") or 0)

    first = harness.until(saved, "a checkpoint", name, SLOW)
    road.down = True
    before = road.connections
    try:
        if moment == "stop":
            harness.suspend(name, namespace=SLOW)
        harness.until(lambda: road.connections > before + 2, "tries", name, SLOW)
    finally:
        road.down = False
    if moment == "training":
        harness.until(lambda: saved() > first, "a later checkpoint", name, SLOW)
        harness.suspend(name, namespace=SLOW)
    status = harness.wait(name, "Stopped", namespace=SLOW)
    assert status["attempt"] == 1
    assert harness.checkpoint_holds(status, tmp_path).step >= first
    assert harness.condition(name, "CheckpointSaved", SLOW)["reason"] == "Saved"


def test_a_checkpoint_torn_at_any_of_its_files_is_passed_over_for_the_one_before(
    harness: Harness,
) -> None:
    name, queue = "torn", "q-torn"
    harness.submit(name, queue, LONG)
    harness.wait_stage(name, queue, "Training", step=2)
    harness.suspend(name)
    status = harness.wait(name, "Stopped")
    whole, torn = status["checkpoint"]["step"], set[str]()
    while True:
        # Each attempt goes on from the one whole checkpoint, and leaves one that is then torn.
        harness.suspend(name, False)
        harness.wait_stage(name, queue, "Training", step=status["checkpoint"]["step"] + 1)
        log = harness.log(queue)
        assert f"Resuming from step {whole}:" in log
        assert log.count("Skipping a torn checkpoint") == len(torn)
        harness.suspend(name)
        status = harness.wait(name, "Stopped")
        prefix = status["checkpoint"]["uri"].removeprefix(f"s3://{harness.store.bucket}/")
        files = {key.rsplit("/", 1)[1]: key for key in harness.store.keys(prefix)}
        if not files.keys() - torn:
            break
        file = min(files.keys() - torn)
        harness.store.put(files[file], harness.store.get(files[file])[:-1])
        torn.add(file)
    assert torn == {"manifest.json", "model.safetensors", "optimizer.safetensors", "state.json"}


def test_an_upgrade_of_the_operator_disturbs_no_job(harness: Harness) -> None:
    harness.submit("upgraded", "q-upgraded", LONG)
    harness.wait("upgraded", "Running")
    pod = harness.pod("q-upgraded")
    harness.has_dataset(pod.metadata.uid)
    run(
        program("helm"), f"--kubeconfig={harness.cluster.kubeconfig}", "upgrade", "sihl",
        packaged(), "-n", SYSTEM, "--reuse-values",
        "--set", "operator.settings.logLevel=DEBUG", "--wait", "--timeout", "5m",
    )  # fmt: skip
    harness.submit("upgraded-next", "q-upgraded", SHORT)
    harness.suspend("upgraded")
    assert harness.wait("upgraded", "Stopped")["attempt"] == 1
    assert harness.wait("upgraded-next", "Succeeded")["attempt"] == 1
    assert harness.dataset_folders(pod.metadata.uid) == []
