"""Situations that last for hours or days, by hand: one replica, nothing else goes wrong."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sihl_operator.kube import ApiError, UnavailableError
from sihl_operator.settings import Settings
from tests.simulation.clock import VirtualLoop
from tests.simulation.cluster import GPU
from tests.simulation.replica import Replica
from tests.simulation.server import Faults, Raw, SimulatedApi, SimulatedServer
from tests.support.objects import NOW, RUNNING, SPEC, ended

TEAM = "team"


class Situation:
    """A cluster whose kubelet is the test."""

    def __init__(self) -> None:
        self.loop = VirtualLoop(NOW)
        faults = Faults(latest=0.05)
        faults.end()
        self.server = SimulatedServer(random.Random(1), faults, lambda: self.loop.now)
        offers = {"cpu": "64", "memory": "256Gi", "pods": "110", GPU: "8"}
        self.server.create(
            "node",
            {
                "metadata": {"name": "node-1", "namespace": ""},
                "spec": {},
                "status": {
                    "allocatable": offers,
                    "conditions": [{"type": "Ready", "status": "True"}],
                },
            },
        )
        self._replica = Replica(self.server, Settings(), random.Random(2), lambda _: None)

    def play(self, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Tell the story in virtual time, beside an operator."""

        async def begin() -> None:
            self._replica.start(self.loop)
            await asyncio.sleep(10)
            await story()

        self.loop.run_until_complete(begin())

    def submit(self, name: str, project: str = "cells", **runner: Any) -> None:
        """Create a job."""
        spec = {**SPEC, "project": project, "runner": {**SPEC["runner"], **runner}}
        metadata = {"namespace": TEAM, "name": name}
        self.server.create("job", {"metadata": metadata, "spec": spec})

    def status(self, name: str) -> Raw:
        """A job's."""
        found: Raw = self.server.get("job", TEAM, name).get("status") or {}
        return found

    def condition(self, name: str, kind: str) -> tuple[str, str]:
        """A job's: reason and message."""
        found = {c["type"]: c for c in self.status(name).get("conditions", ())}[kind]
        return found["reason"], found["message"]

    @property
    def pod(self) -> Raw:
        """The queue's."""
        return self.server.get("pod", TEAM, "cells-runner")

    def kubelet_says(self, phase: str, trainer: Raw | None = None, **more: Any) -> None:
        """Change the pod's status."""
        states = [{"name": "trainer", "state": trainer}] if trainer else []
        status = {"phase": phase, "containerStatuses": states, **more}
        spec = {**self.pod["spec"], "nodeName": "node-1"}
        self.server.replace("pod", self.pod, spec=spec, status=status)


@pytest.fixture
def situation() -> Situation:
    return Situation()


def test_a_queue_goes_on_though_the_job_of_a_pod_on_a_lost_node_was_deleted(
    situation: Situation,
) -> None:
    async def story() -> None:
        situation.submit("first")
        await asyncio.sleep(5)
        situation.kubelet_says("Running", RUNNING)
        await asyncio.sleep(5)
        situation.server.delete_job(TEAM, "first")
        situation.server.delete_pod(TEAM, "cells-runner")  # as its owner is gone
        situation.submit("second")
        await asyncio.sleep(10)
        assert situation.condition("second", "Admitted")[0] == "WaitingForPod"
        settings = Settings()
        await asyncio.sleep(60 + settings.lost_node_timeout + 30)
        assert situation.status("second")["phase"] == "Starting"

    situation.play(story)


def test_a_full_quota_is_waited_for_as_long_as_it_takes(
    situation: Situation, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, full = SimulatedApi.create_pod, True

    async def refuse(api: SimulatedApi, pod: Raw) -> Raw:
        if full:
            raise ApiError(403, "Forbidden", 'pods "cells-runner" is forbidden: exceeded quota')
        return await create(api, pod)

    monkeypatch.setattr(SimulatedApi, "create_pod", refuse)

    async def story() -> None:
        nonlocal full
        situation.submit("job")
        await asyncio.sleep(6 * 3600)
        reason, message = situation.condition("job", "Admitted")
        assert reason == "QuotaExceeded"
        assert "exceeded quota" in message
        assert "ask for less" in message
        assert not situation.status("job").get("failures")
        full = False
        await asyncio.sleep(60)
        assert situation.pod["metadata"]["labels"]["sihl.ai/job"] == "job"

    situation.play(story)


def test_a_pod_that_nobody_creates_is_told_of_asked_for_less_often_and_given_up_in_time(
    situation: Situation, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, asked, away = SimulatedApi.create_pod, 0, True

    async def fail(api: SimulatedApi, pod: Raw) -> Raw:
        nonlocal asked
        asked += 1
        if away:
            raise UnavailableError(500, "InternalError", "etcdserver: request timed out")
        return await create(api, pod)

    monkeypatch.setattr(SimulatedApi, "create_pod", fail)

    async def story() -> None:
        nonlocal away
        situation.submit("job", startTimeout="10m")
        await asyncio.sleep(5 * 60)
        assert situation.status("job")["phase"] == "Starting"
        reason, message = situation.condition("job", "DatasetReady")
        assert reason == "PodNotCreated"
        assert "request timed out" in message
        assert asked < 30
        await asyncio.sleep(6 * 60)
        assert situation.status("job")["phase"] == "Queued"
        assert "request timed out" in situation.condition("job", "Admitted")[1]
        assert not situation.status("job").get("failures")
        away = False
        await asyncio.sleep(11 * 60)
        assert situation.pod["metadata"]["labels"]["sihl.ai/job"] == "job"
        await asyncio.sleep(5)
        assert situation.condition("job", "DatasetReady")[0] == "NotFetched"

    situation.play(story)


def test_a_pod_that_its_finalizers_keep_is_waited_for_in_peace_and_named(
    situation: Situation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def delete(namespace: str, name: str, uid: str | None = None, grace: int | None = None) -> None:
        deleted = {"deletionTimestamp": "2027-01-15T08:00:00Z", "finalizers": ["example.com/audit"]}
        if "deletionTimestamp" not in situation.pod["metadata"]:
            situation.server.replace("pod", situation.pod, metadata=deleted)

    monkeypatch.setattr(situation.server, "delete_pod", delete)

    async def story() -> None:
        situation.submit("first")
        await asyncio.sleep(5)
        situation.kubelet_says("Failed", ended(65))
        await asyncio.sleep(5)
        assert situation.status("first")["phase"] == "Failed"
        situation.submit("second")
        await asyncio.sleep(30)
        before = situation.server.writes
        await asyncio.sleep(3600)
        renewals = 3600 / Settings().lease_renewal
        assert situation.server.writes - before <= renewals + 20
        reason, message = situation.condition("second", "Admitted")
        assert reason == "WaitingForPod"
        assert "example.com/audit" in message
        situation.server.remove_pod(situation.pod)
        await asyncio.sleep(5)
        assert situation.pod["metadata"]["labels"]["sihl.ai/job"] == "second"

    situation.play(story)


def test_a_node_that_refuses_every_pod_at_once_does_not_make_the_operator_spin(
    situation: Situation,
) -> None:
    async def story() -> None:
        situation.submit("job")
        for _ in range(600):
            await asyncio.sleep(1)
            if ("team", "cells-runner") in situation.server.objects["pod"]:
                situation.kubelet_says("Failed", reason="UnexpectedAdmissionError")
        status = situation.status("job")
        assert status["attempt"] <= 600 / Settings().unavailable_backoff + 1
        assert not status.get("failures")

    situation.play(story)


def test_a_preempted_job_leaves_the_room_to_the_pod_that_preempted_it(
    situation: Situation,
) -> None:
    async def story() -> None:
        situation.submit("job", gpus=8)
        await asyncio.sleep(5)
        situation.kubelet_says("Running", RUNNING)
        limits = {"limits": {GPU: "8"}}
        vip = {
            "metadata": {"namespace": "other", "name": "vip"},
            "spec": {"containers": [{"name": "main", "resources": limits}]},
            "status": {"phase": "Pending", "nominatedNodeName": "node-1"},
        }
        situation.server.create("pod", vip)
        disrupted = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
        }
        situation.kubelet_says("Failed", ended(75), conditions=[disrupted])
        situation.server.remove_pod(situation.pod)
        await asyncio.sleep(600)
        status = situation.status("job")
        assert (status["phase"], status["attempt"]) == ("Queued", 1)
        assert not status.get("failures")
        situation.server.remove_pod(situation.server.get("pod", "other", "vip"))
        await asyncio.sleep(5)
        assert situation.status("job")["phase"] == "Starting"

    situation.play(story)


def test_room_that_only_the_scheduler_keeps_from_a_pod_goes_to_another_queue(
    situation: Situation,
) -> None:
    async def story() -> None:
        situation.submit("apart", gpus=8, retries=0)
        await asyncio.sleep(5)
        situation.submit("next", project="plates", gpus=8)
        await asyncio.sleep(5)
        assert situation.status("next")["phase"] == "Queued"
        said = "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules."
        waits = {
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said,
        }  # fmt: skip
        told = {"phase": "Pending", "conditions": [waits]}
        situation.server.replace("pod", situation.pod, status=told)
        await asyncio.sleep(5)
        assert situation.status("next")["phase"] == "Starting"
        assert "anti-affinity" in situation.condition("apart", "DatasetReady")[1]
        await asyncio.sleep(Settings().unschedulable_timeout)
        status = situation.status("apart")
        assert (status["phase"], status.get("failures")) == ("Queued", None)
        assert status["obstacle"]["reason"] == "Unschedulable"

    situation.play(story)


def test_a_policy_that_denies_every_pod_for_a_while_costs_jobs_nothing_but_the_while(
    situation: Situation, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, denies, asked = SimulatedApi.create_pod, True, 0

    async def deny(api: SimulatedApi, pod: Raw) -> Raw:
        nonlocal asked
        asked += 1
        if denies:
            text = "pods is forbidden: ValidatingAdmissionPolicy 'p' denied request: by mistake"
            raise ApiError(422, "Invalid", text)
        return await create(api, pod)

    monkeypatch.setattr(SimulatedApi, "create_pod", deny)

    async def story() -> None:
        nonlocal denies
        for number in range(4):
            situation.submit(f"job-{number}", project=f"queue-{number}", retries=0)
        await asyncio.sleep(24 * 3600)
        assert asked < 4 * 24 * 8, "less and less often"
        for number in range(4):
            status = situation.status(f"job-{number}")
            assert (status["phase"], status.get("failures")) == ("Queued", None)
            reason, message = situation.condition(f"job-{number}", "Admitted")
            assert reason == "PodDenied"
            assert "by mistake" in message
        denies = False
        await asyncio.sleep(Settings().retry_backoff_limit + 5)
        assert len(situation.server.objects["pod"]) == 4

    situation.play(story)


def test_what_the_node_says_of_a_sandbox_that_it_cannot_make_is_told_while_it_lasts(
    situation: Situation, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def events_of(api: SimulatedApi, namespace: str, uid: str) -> list[Raw]:
        asked.append(uid)
        about = {
            "reason": "FailedCreatePodSandBox",
            "lastTimestamp": f"2027-01-15T09:00:0{len(asked)}Z",
        }
        text = f'failed to setup network for sandbox "{len(asked):032x}": no IP addresses available'
        return [{"metadata": {}, **about, "message": text}]

    monkeypatch.setattr(SimulatedApi, "events_of", events_of)

    async def story() -> None:
        situation.submit("job", retries=0)
        await asyncio.sleep(5)
        lacks = {"type": "PodReadyToStartContainers", "status": "False"}
        situation.kubelet_says("Pending", conditions=[lacks])
        await asyncio.sleep(20)
        assert asked == [situation.pod["metadata"]["uid"]]
        reason, message = situation.condition("job", "DatasetReady")
        assert reason == "SandboxNotCreated"
        assert "no IP addresses available" in message
        before = situation.server.version
        await asyncio.sleep(Settings().startup_problem_timeout - 30)
        assert len(asked) == 2, "they are asked again now and then"
        assert situation.server.version - before < 40, "and the same words are not written again"
        situation.server.remove_pod(situation.pod)
        await asyncio.sleep(5)
        assert not situation.status("job").get("failures")

    situation.play(story)
