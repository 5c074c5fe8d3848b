"""One replica of the operator: the real deciding and acting code, killed, paused, cut off."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from sihl_api.runtime import ProgressReport
from sihl_operator.controller import Controller
from sihl_operator.kube import ApiError
from sihl_operator.leader import Leader
from sihl_operator.metrics import Metrics
from sihl_operator.settings import Settings
from sihl_operator.world import World
from tests.simulation.clock import Gate, VirtualLoop, context_of
from tests.simulation.server import KINDS, Raw, SimulatedApi, SimulatedServer, Watch


class Replica:
    """A process that can end, or be held, at any await."""

    def __init__(
        self,
        server: SimulatedServer,
        settings: Settings,
        random: random.Random,
        report: Callable[[str], ProgressReport | None],
    ) -> None:
        self.name = settings.identity
        self._server, self._settings, self._random = server, settings, random
        self._report = report
        self._gate = Gate()
        self._tasks: list[asyncio.Task[Any]] = []  # of killed processes too: nobody collects them
        self.watches: list[Watch] = []
        self.skew = 0.0
        self.runs = False

    def start(self, loop: VirtualLoop) -> None:
        """A new process, which knows nothing."""
        self.runs, self._gate = True, Gate()
        api = SimulatedApi(self._server, self.name)
        self._world = world = World()
        leader = Leader(api, self._settings, loop.time)  # type: ignore[arg-type]  # it has `lease`
        self._controller = controller = Controller(
            world, api, self._settings, Metrics(world, self._clock(loop)), self._clock(loop),
            lambda: leader.leading,
        )  # fmt: skip
        self.watches = [Watch(api, self._server, kind, self._see) for kind in KINDS]
        context = context_of(self._gate)
        acts: list[Coroutine[Any, Any, None]] = [
            controller.run(), leader.run(controller.lead), self._relist(), self._progress(),
            *(self._watch(watch) for watch in self.watches),
        ]  # fmt: skip
        self._tasks += [loop.create_task(act, context=context) for act in acts]

    def kill(self) -> None:
        """End where every task stands: nothing is tidied up."""
        self.runs, self._gate.closed = False, True
        self._gate.held.clear()

    def pause(self) -> None:
        """As by SIGSTOP; what would have happened meanwhile happens when it wakes."""
        self._gate.closed = True

    def wake(self, loop: VirtualLoop) -> None:
        """As by SIGCONT."""
        if self.runs:
            loop.open(self._gate)

    def _clock(self, loop: VirtualLoop) -> Callable[[], float]:
        return lambda: loop.now + self.skew

    def _see(self, kind: str, raw: Raw, deleted: bool) -> None:
        if kind == "job":
            self._world.saw_job(raw, deleted)
        elif kind == "pod":
            self._world.saw_pod(raw, deleted)
        else:
            self._world.saw_node(raw, deleted)
        self._controller.wake()

    async def _watch(self, watch: Watch) -> None:
        while True:
            try:
                await watch.run()
            except ApiError:
                await asyncio.sleep(1)

    async def _relist(self) -> None:
        while True:
            try:
                await self._controller.relist()
            except ApiError:
                await asyncio.sleep(2)
                continue
            await asyncio.sleep(self._settings.relist_interval)

    async def _progress(self) -> None:
        controller, world = self._controller, self._world
        while True:
            await asyncio.sleep(self._settings.progress_interval)
            if not controller.leading:
                continue
            for job in [world.jobs[key] for key in world.queues.active()]:
                pod = world.pod_of(job)
                if pod is not None and (report := self._report(pod.uid)):
                    await controller.tell_progress(job, pod, report)
