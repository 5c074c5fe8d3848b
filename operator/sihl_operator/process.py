"""The process: the operator's parts, the tasks that run them, and what its probes are told."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from sihl_api.traces import traces_to
from sihl_operator.jobwatch import JobWatch
from sihl_operator.kube import KINDS, KubeApi
from sihl_operator.leader import Leader
from sihl_operator.metrics import Metrics
from sihl_operator.progress import follow_progress
from sihl_operator.reflector import Reflector
from sihl_operator.relist import Relist
from sihl_operator.rounds import Rounds
from sihl_operator.settings import Settings
from sihl_operator.sightings import Clocks
from sihl_operator.world import World

_SILENT_SECONDS = 90.0
"""So long may the loop, or the API server, say nothing: the probes tell within two minutes."""
_PARTING_SECONDS = 2.0
"""For spans that wait at the process's end."""


class Operator:
    """The parts, and the tasks that run them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.world = World()
        self.metrics = Metrics(self.world, gpu_resource=settings.gpu_resource)
        self.traces = traces_to(settings.traces_endpoint, "sihl-operator")
        self._tasks: list[asyncio.Task[Any]] = []

    async def start(self) -> None:
        """Connect, serve metrics, follow the cluster, compete for the lead."""
        self.api = await KubeApi(self.metrics.wrote, self.settings.watch_namespaces).__aenter__()
        self.leader = Leader(self.api, self.settings, time.monotonic)
        self.rounds = Rounds(
            self.world, self.api, self.settings, self.metrics, Clocks(),
            lambda: self.leader.leading, self.traces,
        )  # fmt: skip
        self.reflector = Reflector(self.world, self.api, self.rounds.wake)
        self.relist = Relist(
            self.reflector, self.rounds, self.leader, self.settings.relist_interval
        )
        self.job_watch = JobWatch(self.api, self.reflector)
        self.metrics.leader.set_function(lambda: float(self.leader.leading))
        await self._serve()
        parts = {
            "relist": self.relist.run(),
            "rounds": self.rounds.run(),
            "leader": self.leader.run(self._take_lead),
            "progress": follow_progress(self.world, self.rounds, self.settings),
            **{
                f"watch of {kind}s": self.reflector.follow(kind)
                for kind in KINDS
                if kind != "job"  # which kopf watches
            },
        }
        self._tasks = [asyncio.create_task(run, name=name) for name, run in parts.items()]

    async def _take_lead(self) -> None:
        await self.reflector.relist(unless_within=self.settings.lease_duration)
        self.rounds.lead()

    async def stop(self) -> None:
        """Let go of the lead, then end."""
        self.rounds.follow()
        await self.leader.release()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._runner.cleanup()
        await self.api.__aexit__()
        await asyncio.to_thread(self.traces.close, _PARTING_SECONDS)

    def fault(self) -> str | None:
        """Why this process should be started anew, or None."""
        for task in self._tasks:
            if task.done():
                return f"the task {task.get_name()} has ended"
        silent = time.monotonic() - self.rounds.heartbeat
        if silent > _SILENT_SECONDS:
            return f"the loop has been silent for {silent:.0f} s"
        away, trouble = self.api.silence
        if away > _SILENT_SECONDS:  # the lease is asked for every few seconds, leading or not
            return f"the API server has not answered for {away:.0f} s: {trouble}"
        return None

    async def _serve(self) -> None:
        application = web.Application()
        application.router.add_get("/metrics", self._answer_metrics)
        application.router.add_get("/readyz", self._answer_ready)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, port=self.settings.metrics_port).start()

    async def _answer_metrics(self, _: web.Request) -> web.Response:
        body = generate_latest(self.metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _answer_ready(self, _: web.Request) -> web.Response:
        fault = self.fault() or self.relist.unread() or self.leader.lacking
        return web.Response(status=503 if fault else 200, text=fault or "ok")
