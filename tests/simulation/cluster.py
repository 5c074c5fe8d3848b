"""Scheduler, kubelets and trainers: what happens to pods, and what is true of each job."""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass, field
from typing import Any

from sihl_api.runtime import ExitCode, Result
from sihl_api.trainingjob import CheckpointStatus, ModelStatus
from sihl_operator.kube import NotFoundError
from tests.simulation.server import Faults, Raw, SimulatedServer

MODEL = ModelStatus(uri="s3://b/model", checksum="0" * 64)
GPU = "nvidia.com/gpu"


@dataclass
class Truth:
    """What really happened, by the job's uid."""

    ran: set[tuple[str, int]] = field(default_factory=set)
    saved: dict[str, int] = field(default_factory=dict)
    succeeded: set[str] = field(default_factory=set)


class SimulatedCluster:
    """Nodes with GPUs; each pod is a task."""

    def __init__(
        self, server: SimulatedServer, faults: Faults, random: random.Random, nodes: dict[str, int]
    ) -> None:
        self.truth = Truth()
        self._server, self._faults, self._random = server, faults, random
        self._free = dict(nodes)
        self._tasks: set[asyncio.Task[None]] = set()
        self.crowded = 0
        for name, gpus in nodes.items():
            offers = {"cpu": "64", "memory": "256Gi", "pods": "110", GPU: str(gpus)}
            server.create(
                "node",
                {
                    "metadata": {"name": name},
                    "spec": {},
                    "status": {
                        "allocatable": offers,
                        "conditions": [{"type": "Ready", "status": "True"}],
                    },
                },
            )
        server.checks.append(self._pod_created)

    def _pod_created(self, kind: str, before: Raw | None, after: Raw) -> None:
        if kind == "pod" and before is None:
            task = asyncio.ensure_future(self._live(after))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _live(self, pod: Raw) -> None:
        try:
            await self._life(_Pod(self._server, pod))
        except NotFoundError:
            return  # forced away, or its job is gone

    async def _life(self, pod: _Pod) -> None:
        gpus = int(pod.limits.get(GPU, 0))
        await asyncio.sleep(0.1)
        if not pod.owned:
            self._server.remove_pod(pod.raw)
            return
        while (node := next((n for n, free in self._free.items() if free >= gpus), None)) is None:
            await asyncio.sleep(1)
            pod.raw  # noqa: B018 (raises once it is gone)
            self.crowded += not self._faults.active
        self._free[node] -= gpus
        try:
            pod.bind(node)
            await self._work(pod)
        finally:
            self._free[node] += gpus
        await pod.passes(math.inf)  # kept for its logs

    async def _work(self, pod: _Pod) -> None:
        pick = self._random
        step = self.truth.saved.get(pod.job_uid, 0)
        stopped = await pod.passes(pick.uniform(1, 20))
        if not stopped:
            pod.say("Running", {"running": {"startedAt": "2027-01-15T08:00:00Z"}})
            self.truth.ran.add((pod.job_uid, pod.attempt))
            stopped = await pod.passes(pick.uniform(2, 90))
            step += pick.randint(1, 100)
        saved = CheckpointStatus(step=step, uri=f"s3://b/{step}", saved_at="2027-01-15T08:00:00Z")
        if stopped:
            if pick.random() < 0.1 and self._faults.active:
                while True:  # its node is lost: until it is forced away
                    await asyncio.sleep(5)
                    pod.raw  # noqa: B018 (raises once it is gone)
            await asyncio.sleep(pick.uniform(0.1, 20))
            if pod.ran and pick.random() < 0.8:
                self.truth.saved[pod.job_uid] = step
                pod.end(ExitCode.STOPPED, Result(reason="Stopped", step=step, checkpoint=saved))
            else:
                pod.end(ExitCode.STOPPED_WITHOUT_CHECKPOINT, Result(reason="NoStepYet"))
            self._server.remove_pod(pod.raw)
            raise NotFoundError(404, "NotFound", "removed")
        fate = pick.random() if self._faults.active else 1.0
        if fate < 0.15:
            pod.end(1, None)
        elif fate < 0.2:
            pod.end(ExitCode.BAD_DATA, Result(reason="DatasetMalformed", message="bad"))
        elif fate < 0.3:
            pod.end(ExitCode.UNAVAILABLE, Result(reason="StoreUnavailable", message="away"))
        elif fate < 0.35:
            self._server.remove_pod(pod.raw)  # vanishes unseen
        else:
            self.truth.succeeded.add(pod.job_uid)
            self.truth.saved[pod.job_uid] = step
            pod.end(0, Result(reason="Completed", step=step, checkpoint=saved, model=MODEL))


class _Pod:
    """A pod as its kubelet has it."""

    def __init__(self, server: SimulatedServer, raw: Raw) -> None:
        self._server = server
        self._where = (raw["metadata"]["namespace"], raw["metadata"]["name"])
        self.uid = raw["metadata"]["uid"]
        self.job_uid = raw["metadata"]["labels"]["sihl.ai/job-uid"]
        self.attempt = int(raw["metadata"]["labels"]["sihl.ai/attempt"])
        self.limits: dict[str, Any] = raw["spec"]["containers"][0]["resources"].get("limits", {})
        self.ran = False

    @property
    def raw(self) -> Raw:
        """Raises NotFoundError once it is gone, whoever has its name now."""
        found = self._server.get("pod", *self._where)
        if found["metadata"]["uid"] != self.uid:
            raise NotFoundError(404, "NotFound", self._where[1])
        return found

    @property
    def owned(self) -> bool:
        jobs = self._server.objects["job"].values()
        return any(job["metadata"]["uid"] == self.job_uid for job in jobs)

    @property
    def deleting(self) -> bool:
        return "deletionTimestamp" in self.raw["metadata"]

    async def passes(self, seconds: float) -> bool:
        """Live on for so long; True as soon as it is asked to end."""
        while seconds > 0:
            if self.deleting:
                return True
            await asyncio.sleep(min(1.0, seconds))
            seconds -= 1.0
        return self.deleting

    def bind(self, node: str) -> None:
        self._change(lambda raw: raw["spec"].update(nodeName=node))

    def say(self, phase: str, state: Raw) -> None:
        self.ran = self.ran or "running" in state
        fetched = {"terminated": {"exitCode": 0, "reason": "Completed"}}
        self._change(
            lambda raw: raw["status"].update(
                phase=phase,
                podIP="10.0.0.1",
                initContainerStatuses=[
                    {"name": c["name"], "state": fetched} for c in raw["spec"]["initContainers"]
                ],
                containerStatuses=[{"name": "trainer", "state": state}],
            )
        )

    def end(self, code: int, result: Result | None) -> None:
        ended: Raw = {"exitCode": int(code), "reason": "Error" if code else "Completed"}
        if result is not None:
            ended["message"] = result.encode().decode()
        self.say("Failed" if code else "Succeeded", {"terminated": ended})

    def _change(self, change: Any) -> None:
        self.raw  # noqa: B018 (raises once it is gone)
        self._server.update("pod", *self._where, change)
