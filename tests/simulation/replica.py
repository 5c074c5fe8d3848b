"""One replica of the operator: the real deciding and acting code, killed, paused, cut off."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from sihl_api.runtime import ProgressReport
from sihl_operator.kube import KINDS, ApiError
from sihl_operator.leader import Leader
from sihl_operator.metrics import Metrics
from sihl_operator.reflector import Reflector
from sihl_operator.rounds import Rounds
from sihl_operator.settings import Settings
from sihl_operator.sightings import Clocks
from sihl_operator.world import World
from tests.simulation.clock import Gate, VirtualLoop, context_of
from tests.simulation.server import SimulatedApi, SimulatedServer


class Replica:
    """A process that can end, or be held, at any await.

    Attributes:
        skew: Seconds that its machine's clock is ahead of the API server's.
        drift: Seconds that it gains on the API server's in each.
    """

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
        self.skew = self.drift = 0.0
        self.runs = False

    def start(self, loop: VirtualLoop) -> None:
        """A new process, which knows nothing."""
        self.runs, self._gate = True, Gate()
        self._api = api = SimulatedApi(self._server, self.name)
        clocks = self._clocks(loop)
        self._world = world = World(clocks.monotonic)
        leader = Leader(api, self._settings, clocks.monotonic)  # type: ignore[arg-type]  # has `lease`
        self._rounds = rounds = Rounds(
            world, api, self._settings, Metrics(world, clocks.wall), clocks, lambda: leader.leading
        )
        self._reflector = reflector = Reflector(world, api, rounds.wake)
        context = context_of(self._gate)
        acts: list[Coroutine[Any, Any, None]] = [
            self._relist(), rounds.run(), leader.run(self._take_lead), self._progress(),
            *(reflector.follow(kind) for kind in KINDS),
        ]  # fmt: skip
        self._tasks += [loop.create_task(act, context=context) for act in acts]

    def kill(self) -> None:
        """End where every task stands: nothing is tidied up."""
        self.runs, self._gate.closed = False, True
        self._gate.held.clear()

    def cut(self) -> None:
        """Its watches' connections break."""
        self._api.cut()

    def pause(self) -> None:
        """As by SIGSTOP; what would have happened meanwhile happens when it wakes."""
        self._gate.closed = True

    def wake(self, loop: VirtualLoop) -> None:
        """As by SIGCONT."""
        if self.runs:
            loop.open(self._gate)

    def _clocks(self, loop: VirtualLoop) -> Clocks:
        """The machine's, and one that begins with the process and says nothing of the day."""
        began = loop.now
        return Clocks(
            lambda: loop.now + self.skew + self.drift * (loop.now - began),
            lambda: loop.now - began,
        )

    async def _take_lead(self) -> None:
        await self._reflector.relist(unless_within=self._settings.lease_duration)
        self._rounds.lead()

    async def _relist(self) -> None:
        while True:
            try:
                await self._reflector.relist()
            except ApiError:
                await asyncio.sleep(2)
                continue
            await asyncio.sleep(self._settings.relist_interval)

    async def _progress(self) -> None:
        rounds, world = self._rounds, self._world
        while True:
            await asyncio.sleep(self._settings.progress_interval)
            if not rounds.leading:
                continue
            for job in [world.jobs[key] for key in world.queues.active()]:
                pod = world.pod_of(job)
                if pod is not None and (report := self._report(pod.uid)):
                    rounds.tell_progress(job, pod, report)
