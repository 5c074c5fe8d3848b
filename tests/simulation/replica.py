"""One replica of the operator: the real deciding and acting code, started, crashed, cut off."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

from sihl_operator.controller import Controller
from sihl_operator.kube import ApiError
from sihl_operator.leader import Leader
from sihl_operator.metrics import Metrics
from sihl_operator.settings import Settings
from sihl_operator.world import World
from tests.simulation.server import SimulatedApi, SimulatedServer, Watch


class Replica:
    """A process that can end at any await."""

    def __init__(
        self, server: SimulatedServer, name: str, settings: Settings, random: random.Random
    ) -> None:
        self._server, self.name, self._settings, self._random = server, name, settings, random
        self._tasks: list[asyncio.Task[Any]] = []
        self._watch: Watch | None = None
        self.controller: Controller | None = None

    def start(self) -> None:
        """A new process, which knows nothing."""
        clock = asyncio.get_running_loop().time
        self.world = World()
        api = SimulatedApi(self._server, self.name)
        leader = Leader(api, self._settings, clock)  # type: ignore[arg-type]  # it has the lease
        self.controller = Controller(
            self.world, api, self._settings, Metrics(self.world, clock), clock,
            lambda: leader.leading,
        )  # fmt: skip
        self._run(self.controller.run())
        self._run(leader.run(self.controller.lead))
        self._run(self._watches())
        self._run(self._relists())

    def crash(self) -> None:
        """End at whatever await every task stands at."""
        controller = self.controller
        for task in [*self._tasks, *(controller._tasks if controller else ())]:
            task.cancel()
        if self._watch in self._server.watches:
            self._server.watches.remove(self._watch)
        self._tasks, self.controller = [], None

    def _run(self, act: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.ensure_future(act))

    async def _watches(self) -> None:
        assert self.controller is not None
        loop = asyncio.get_running_loop()
        while True:
            self._watch = watch = Watch()
            self._server.watches.append(watch)
            try:
                await self.controller.relist()
            except ApiError:
                continue
            while (event := await watch.queue.get()) is not None:
                when, kind, raw, deleted = event
                await asyncio.sleep(max(0.0, when - loop.time()))
                if kind == "job":
                    self.world.saw_job(raw, deleted)
                elif kind == "pod":
                    self.world.saw_pod(raw, deleted)
                elif kind == "node":
                    self.world.saw_node(raw, deleted)
                self.controller.wake()
            await asyncio.sleep(self._random.random() * 5)

    async def _relists(self) -> None:
        assert self.controller is not None
        while True:
            await asyncio.sleep(self._settings.relist_interval)
            try:
                await self.controller.relist()
            except ApiError:
                continue
