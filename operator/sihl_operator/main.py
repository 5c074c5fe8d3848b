"""`sihl-operator`: the parts, and kopf around them."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import math
import sys
import time
from typing import Any

import kopf
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from sihl_api.logs import JSON, log_as_json
from sihl_api.traces import traces_to
from sihl_api.trainingjob import GROUP, PLURAL, VERSION
from sihl_api.version import installed_version
from sihl_operator.jobwatch import JobWatch, settle
from sihl_operator.kube import KINDS, ApiError, KubeApi
from sihl_operator.leader import Leader
from sihl_operator.metrics import Metrics
from sihl_operator.progress import follow_progress
from sihl_operator.reflector import Reflector
from sihl_operator.refusals import lacking
from sihl_operator.rounds import Rounds
from sihl_operator.settings import Settings, read_settings
from sihl_operator.sightings import Clocks
from sihl_operator.world import World

log = logging.getLogger(__name__)

_SILENT_SECONDS = 90.0
"""So long may the loop, or the API server, say nothing: the probes tell within two minutes."""
_INTERVALS_UNREAD = 3
"""So many intervals between lists may pass without one."""
_PARTING_SECONDS = 2.0
"""For spans that wait at the process's end."""
_GARBAGE_THRESHOLD = 50_000
"""Objects between two collections: thousands of jobs are millions of objects, and no garbage."""


class Operator:
    """The parts, and the tasks that run them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.world = World()
        self.metrics = Metrics(self.world, gpu_resource=settings.gpu_resource)
        self.traces = traces_to(settings.traces_endpoint, "sihl-operator")
        self._tasks: list[asyncio.Task[Any]] = []
        self._trouble = ""
        """Why the last list failed, if it did."""

    async def start(self) -> None:
        """Connect, serve metrics, follow the cluster, compete for the lead."""
        self.api = await KubeApi(self.metrics.wrote, self.settings.watch_namespaces).__aenter__()
        self.leader = Leader(self.api, self.settings, time.monotonic)
        self.rounds = Rounds(
            self.world, self.api, self.settings, self.metrics, Clocks(),
            lambda: self.leader.leading, self.traces,
        )  # fmt: skip
        self.reflector = Reflector(self.world, self.api, self.rounds.wake)
        self.job_watch = JobWatch(self.api, self.reflector)
        self.metrics.leader.set_function(lambda: float(self.leader.leading))
        await self._serve()
        parts = {
            "relist": self._relist(),
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

    def unread(self) -> str | None:
        """Why this replica does not know the cluster, or None: watches alone could be lying."""
        age = self.reflector.age
        if age < _INTERVALS_UNREAD * self.settings.relist_interval:
            return None
        since = "yet" if age == math.inf else f"for {age:.0f} s"
        return f"the cluster has not been read {since}{self._trouble}"

    async def _relist(self) -> None:
        """A first list makes this replica ready; later ones mend what a watch left out."""
        while True:
            try:
                await self.reflector.relist()
                self._trouble = ""
            except ApiError as error:
                self._trouble = f": {error}"
                log.warning("listing failed: %s", error)
                await self._tell_blind(error)
            except Exception:  # else nothing would be mended any more
                log.exception("listing failed")
            await asyncio.sleep(2 if self.unread() else self.settings.relist_interval)

    async def _tell_blind(self, error: ApiError) -> None:
        """Who waits is told by whoever holds the lease, which cannot lead without a list."""
        end = lacking(error.status, error.message)
        if end is not None and self.leader.holding:
            try:
                await self.rounds.tell_blind(end)
            except ApiError as another:
                log.warning("nor can it be told: %s", another)

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
        fault = self.fault() or self.unread() or self.leader.lacking
        return web.Response(status=503 if fault else 200, text=fault or "ok")


def registry(operator: Operator) -> kopf.OperatorRegistry:
    """kopf's handlers: it watches the jobs, and carries the process's start, probes and end."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.startup(registry=handlers)
    async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        settle(settings)
        await operator.start()

    @kopf.on.cleanup(registry=handlers)
    async def stop(**_: Any) -> None:
        await operator.stop()

    @kopf.on.login(registry=handlers)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return operator.job_watch.login()

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=handlers)
    async def saw(event: kopf.RawEvent, **_: Any) -> None:
        operator.reflector.see("job", event["type"], event["object"])

    @kopf.on.probe(id="loop", registry=handlers)
    def alive(**_: Any) -> str:
        fault = operator.fault()
        if fault:
            raise kopf.PermanentError(fault)
        return "ok"

    return handlers


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address  # IPv6


def main() -> int:
    """Run until asked to end; 2 with a line on standard error where the settings are at fault."""
    _parser().parse_args()
    try:
        settings = read_settings()
        if settings.log_format == JSON:
            log_as_json(settings.log_level)
        logging.basicConfig(
            level=settings.log_level, format="%(asctime)s %(levelname)s %(message)s"
        )
    except ValueError as error:
        print(f"sihl-operator: {error}", file=sys.stderr)
        return 2
    gc.set_threshold(_GARBAGE_THRESHOLD, 20, 50)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)  # a line for each probe
    kopf.run(
        registry=registry(Operator(settings)),
        standalone=True,
        clusterwide=not settings.watch_namespaces,
        namespaces=settings.watch_namespaces,
        liveness_endpoint=f"http://{_in_url(settings.liveness_address)}:{settings.liveness_port}/healthz",
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    """All else is said by the environment."""
    parser = argparse.ArgumentParser(prog="sihl-operator", description=__doc__)
    parser.add_argument("--version", action="version", version=f"%(prog)s {installed_version()}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
