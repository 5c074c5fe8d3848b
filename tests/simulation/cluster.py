"""Scheduler, kubelets and trainers: what happens to pods, and what is true of each job."""

from __future__ import annotations

import asyncio
import math
import random
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from sihl_api.runtime import ExitCode, ProgressReport, Result
from sihl_api.status import CheckpointStatus, Progress
from sihl_operator.kube import NotFoundError
from tests.simulation.server import Raw, SimulatedServer
from tests.support.objects import MODEL

GPU = "nvidia.com/gpu"
SINCE = "2027-01-15T08:00:00Z"
_UNSCHEDULABLE = {
    "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
    "message": f"0/2 nodes are available: 2 Insufficient {GPU}.",
}  # fmt: skip
_ENDED = ("Succeeded", "Failed")
_FETCHED = [{"name": "fetch-train", "state": {"terminated": {"exitCode": 0}}}]


@dataclass
class Truth:
    """What really happened, by the job's uid."""

    ran: set[tuple[str, int]] = field(default_factory=set)
    saved: dict[str, int] = field(default_factory=dict)
    succeeded: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    crashed: set[tuple[str, int]] = field(default_factory=set)
    kept: set[tuple[str, int]] = field(default_factory=set)  # attempts whose stop saved

    def save(self, job: str, step: int) -> None:
        """A checkpoint is durable."""
        self.saved[job] = max(step, self.saved.get(job, 0))


class SimulatedCluster:
    """Nodes with GPUs; each pod is a task.

    Args:
        fates: Whether attempts may fail.
        endless: Until when none ends of its own accord.
    """

    def __init__(
        self,
        server: SimulatedServer,
        random: random.Random,
        nodes: dict[str, int],
        fates: bool,
        endless: float,
    ) -> None:
        self.fates, self._endless = fates, endless
        self.truth = Truth()
        self.lives: dict[str, _Life] = {}
        self.crowded = 0.0
        self.store_away = False
        self._server, self._random = server, random
        self._free = dict(nodes)
        self._lost: dict[str, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        for name, gpus in nodes.items():
            offers = {"cpu": "64", "memory": "256Gi", "pods": "110", GPU: str(gpus)}
            server.create("node", _node(name, offers, ready=True))
        server.observers.append(self._observe)

    def _observe(self, kind: str, before: Raw | None, after: Raw | None) -> None:
        if kind != "pod":
            return
        if before is None and after is not None:
            if after["metadata"].get("ownerReferences"):
                life = _Life(self._server, after)
                self.lives[life.uid] = life
                loop = asyncio.get_running_loop()  # a context of its own: no replica's end is its
                task = loop.create_task(self._live(life), context=Context())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        elif before is not None and (there := self.lives.get(before["metadata"]["uid"])):
            there.gone = after is None
            if there.gone or "deletionTimestamp" in (after or before)["metadata"]:
                there.ask()

    # --- nodes -------------------------------------------------------------------------------

    def lose(self, name: str) -> None:
        """A node's kubelet falls silent."""
        if name not in self._lost:
            self._lost[name] = asyncio.get_running_loop().create_future()
            self._report(name, ready=False)

    def find(self, name: str) -> None:
        """It is back."""
        lost = self._lost.pop(name, None)
        if lost is not None:
            lost.set_result(None)
            self._report(name, ready=True)

    def find_all(self) -> None:
        """All nodes are back."""
        for name in list(self._lost):
            self.find(name)

    def _report(self, name: str, ready: bool) -> None:
        node = self._server.get("node", "", name)
        offers = node["status"]["allocatable"]
        self._server.replace("node", node, status=_node(name, offers, ready)["status"])

    async def _reachable(self, life: _Life) -> None:
        while lost := self._lost.get(life.node):
            await lost
            life.check()

    def take(self, name: str, gpus: int | None = None) -> int:
        """Somebody else takes GPUs of a node, all that are free by default; how many."""
        taken = self._free[name] if gpus is None else gpus
        self._free[name] -= taken
        return taken

    # --- pods --------------------------------------------------------------------------------

    async def _live(self, life: _Life) -> None:
        try:
            await asyncio.sleep(0.1)
            life.check()
            jobs = self._server.objects["job"].values()
            if not any(job["metadata"]["uid"] == life.job_uid for job in jobs):
                self._server.remove_pod(life.raw)  # its owner is gone
                return
            await self._schedule(life)
            try:
                await self._work(life)
            finally:
                self._free[life.node] += life.gpus
            await life.passes(math.inf)  # kept for its logs, until it is deleted
        except NotFoundError:
            return  # forced away
        finally:
            self.lives.pop(life.uid, None)

    async def _schedule(self, life: _Life) -> None:
        while True:
            fitting = [(free, node) for node, free in self._free.items() if free >= life.gpus]
            for _, node in sorted(fitting):
                if node not in self._lost:
                    life.node = node
                    self._free[node] -= life.gpus
                    spec = {**life.raw["spec"], "nodeName": node}
                    self._server.replace("pod", life.raw, spec=spec)
                    return
            if "conditions" not in life.raw["status"]:
                status = {**life.raw["status"], "conditions": [_UNSCHEDULABLE]}
                self._server.replace("pod", life.raw, status=status)
            if self._server.faults.over:
                self.crowded += 1
            await asyncio.sleep(1)
            life.check()

    async def _work(self, life: _Life) -> None:
        pick = self._random
        step = self.truth.saved.get(life.job_uid, 0)
        life.step = life.saved = step if pick.random() < 0.9 else step // 2  # the newest is torn
        if not await life.passes(pick.uniform(0.5, 5)):
            await self._reachable(life)
            life.say("Running", {"running": {"startedAt": SINCE}})
            life.running = True
            self.truth.ran.add((life.job_uid, life.attempt))
            await life.passes(pick.uniform(0.5, 8))
            life.step += pick.randint(1, 100)
            if pick.random() < 0.5:
                self._save(life)
            await life.passes(max(pick.uniform(0.5, 20), self._endless - self._server.clock()))
        await self._reachable(life)
        if life.asked:
            await self._stop(life)
        else:
            self._end(life)

    async def _stop(self, life: _Life) -> None:
        pick = self._random
        await life.sleeps(pick.uniform(0.1, 8))
        await self._reachable(life)
        if life.running and pick.random() < 0.8 and not self.store_away:
            self._save(life)
            self.truth.kept.add((life.job_uid, life.attempt))
            result = Result(reason="Stopped", step=life.step, checkpoint=_checkpoint(life.step))
            life.end(ExitCode.STOPPED, result)
        elif pick.random() < 0.8:
            life.end(ExitCode.STOPPED_WITHOUT_CHECKPOINT, Result(reason="NoStepYet"))
        else:
            life.end(137, None)  # the grace period was too short
        self._server.remove_pod(life.raw)

    def _end(self, life: _Life) -> None:
        fate = self._random.random() if self.fates else 1.0
        doomed = self.fates and crc32(life.job_uid.encode()) % 9 == 0 and fate < 0.9
        if self.store_away:
            life.end(ExitCode.UNAVAILABLE, Result(reason="StoreUnavailable", message="away"))
        elif fate < 0.1 or doomed:
            self.truth.crashed.add((life.job_uid, life.attempt))
            life.end(1, None)
        elif fate < 0.15:
            self.truth.failed.add(life.job_uid)
            life.end(ExitCode.BAD_DATA, Result(reason="DatasetMalformed", message="bad"))
        elif fate < 0.2:
            self._server.remove_pod(life.raw)  # vanishes unseen
        else:
            self.truth.succeeded.add(life.job_uid)
            self._save(life)
            result = Result(
                reason="Completed", step=life.step, checkpoint=_checkpoint(life.step), model=MODEL
            )
            life.end(0, result)

    def _save(self, life: _Life) -> None:
        life.saved = life.step
        self.truth.save(life.job_uid, life.step)

    def report(self, uid: str) -> ProgressReport | None:
        """What a pod answers on its port."""
        life = self.lives.get(uid)
        if life is None or not life.running:
            return None
        saved = life.saved
        return ProgressReport(
            stage="Training", progress=Progress(step=life.step, max_steps=10_000),
            checkpoint=_checkpoint(saved) if saved else None,
        )  # fmt: skip


class _Life:
    """A pod as its kubelet has it."""

    def __init__(self, server: SimulatedServer, raw: Raw) -> None:
        self._server = server
        self._where = (raw["metadata"]["namespace"], raw["metadata"]["name"])
        labels = raw["metadata"]["labels"]
        self.uid = raw["metadata"]["uid"]
        self.job_uid, self.attempt = labels["sihl.ai/job-uid"], int(labels["sihl.ai/attempt"])
        limits = raw["spec"]["containers"][0]["resources"].get("limits", {})
        self.gpus = int(limits.get(GPU, 0))
        self.node = ""
        self.step = self.saved = 0
        self.running = self.asked = self.gone = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def raw(self) -> Raw:
        """Raises NotFoundError once it is gone."""
        self.check()
        return self._server.get("pod", *self._where)

    def check(self) -> None:
        """Raises NotFoundError once it is gone, whoever has its name now."""
        if self.gone:
            raise NotFoundError(404, "NotFound", self._where[1])

    def ask(self) -> None:
        """It is to end, or is gone."""
        self.asked = True
        self._wake()

    async def passes(self, seconds: float) -> bool:
        """Live on for so long; True as soon as it is asked to end."""
        if not self.asked:
            await self._wait(seconds)
        self.check()
        return self.asked

    async def sleeps(self, seconds: float) -> None:
        """Live on for so long, whatever is asked; raises NotFoundError once it is gone."""
        await self._wait(seconds)
        self.check()

    async def _wait(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(seconds, self._wake) if seconds < math.inf else None
        await self._waiter
        if timer:
            timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def say(self, phase: str, state: Raw) -> None:
        """What the kubelet reports."""
        status = {
            "phase": phase,
            "podIP": "10.0.0.1",
            "initContainerStatuses": _FETCHED,
            "containerStatuses": [{"name": "trainer", "state": state}],
        }
        self._server.replace("pod", self.raw, status=status)

    def end(self, code: int, result: Result | None) -> None:
        """The trainer's last report."""
        self.running = False
        ended: Raw = {"exitCode": int(code), "reason": "Error" if code else "Completed"}
        if result is not None:
            ended["message"] = result.encode().decode()
        self.say("Failed" if code else "Succeeded", {"terminated": ended})


def _checkpoint(step: int) -> CheckpointStatus:
    return CheckpointStatus(step=step, uri=f"s3://b/{step}", saved_at=SINCE)


def _node(name: str, offers: Raw, ready: bool) -> Raw:
    conditions = [{"type": "Ready", "status": str(ready)}]
    status: dict[str, Any] = {"allocatable": offers, "conditions": conditions}
    return {"metadata": {"name": name}, "spec": {}, "status": status}
