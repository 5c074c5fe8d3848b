"""`sihl-operator`: kopf's watches, log-in and probes around the loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
import time
from typing import Any

import kopf
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from sihl_api.trainingjob import GROUP, PLURAL, VERSION
from sihl_operator.controller import Controller
from sihl_operator.kube import ApiError, KubeApi
from sihl_operator.leader import Leader
from sihl_operator.metrics import Metrics
from sihl_operator.progress import follow_progress
from sihl_operator.settings import Settings, read_settings
from sihl_operator.world import World

log = logging.getLogger(__name__)

_SILENT_SECONDS = 90.0
_FIRST_LOOK_SECONDS = 20.0
_GARBAGE_THRESHOLD = 50_000
"""Objects between two collections: thousands of jobs are millions of objects, and no garbage."""


class Operator:
    """The parts, and the tasks that run them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.world = World()
        self.metrics = Metrics(self.world)
        self.synced = False
        self._tasks: list[asyncio.Task[Any]] = []

    async def start(self) -> None:
        """Connect, serve metrics, compete for the lead, and decide for the first time.

        kopf's watches begin afterwards: with thousands of jobs their first events take longer than
        all decisions.
        """
        self.api = await KubeApi(self.metrics.wrote, self.settings.watch_namespaces).__aenter__()
        self.leader = Leader(self.api, self.settings, time.monotonic)
        self.controller = Controller(
            self.world, self.api, self.settings, self.metrics, time.time,
            lambda: self.leader.leading,
        )  # fmt: skip
        self.metrics.leader.set_function(lambda: float(self.leader.leading))
        await self._serve()
        self._tasks = [
            asyncio.create_task(run, name=name)
            for name, run in (
                ("controller", self.controller.run()),
                ("leader", self.leader.run(self.controller.lead)),
                ("relist", self._relist()),
                ("progress", follow_progress(self.world, self.controller, self.settings)),
            )
        ]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_LOOK_SECONDS):
                await self._first_look()

    async def _first_look(self) -> None:
        while not self.synced or self.leader.leading != self.controller.leading:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # two conditions of two tasks

    async def stop(self) -> None:
        """Let go of the lead, then end."""
        self.controller.follow()
        await self.leader.release()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._runner.cleanup()
        await self.api.__aexit__()

    def fault(self) -> str | None:
        """Why this process should be started anew, or None."""
        for task in self._tasks:
            if task.done():
                return f"the task {task.get_name()} has ended"
        silent = time.time() - self.controller.heartbeat
        if silent > _SILENT_SECONDS:
            return f"the loop has been silent for {silent:.0f} s"
        return None

    async def _relist(self) -> None:
        """A first list makes this replica ready; later ones mend what a watch left out."""
        while True:
            try:
                await self.controller.relist()
                self.synced = True
            except ApiError as error:
                log.warning("listing failed: %s", error)
            except Exception:  # else nothing would be mended any more
                log.exception("listing failed")
            await asyncio.sleep(self.settings.relist_interval if self.synced else 2)

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
        fault = self.fault() or (None if self.synced else "the cluster has not been read yet")
        return web.Response(status=503 if fault else 200, text=fault or "ok")


class _NoDifferences(kopf.DiffBaseStorage):
    """Nothing of kopf's is kept on an object, and no handler asks what changed.

    kopf's own storages would copy every object for every event: a sixth of the operator's time.
    """

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: Any) -> None:
        """Nowhere."""


def registry(operator: Operator) -> kopf.OperatorRegistry:
    """kopf's handlers: they put what they see into the world and wake the loop, nothing else."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.startup(registry=handlers)
    async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.posting.enabled = False
        settings.scanning.disabled = True
        settings.peering.standalone = True
        settings.persistence.diffbase_storage = _NoDifferences()
        await operator.start()

    @kopf.on.cleanup(registry=handlers)
    async def stop(**_: Any) -> None:
        await operator.stop()

    @kopf.on.login(registry=handlers)
    def login(**arguments: Any) -> Any:
        return kopf.login_via_client(**arguments)

    @kopf.on.probe(id="loop", registry=handlers)
    def alive(**_: Any) -> str:
        fault = operator.fault()
        if fault:
            raise kopf.PermanentError(fault)
        return "ok"

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=handlers)
    async def job(event: Any, **_: Any) -> None:
        operator.world.saw_job(_plain(event["object"]), event["type"] == "DELETED")
        operator.controller.wake()

    @kopf.on.event("", "v1", "pods", registry=handlers)
    async def pod(event: Any, **_: Any) -> None:
        operator.world.saw_pod(_plain(event["object"]), event["type"] == "DELETED")
        operator.controller.wake()

    @kopf.on.event("", "v1", "nodes", registry=handlers)
    async def node(event: Any, **_: Any) -> None:
        operator.world.saw_node(_plain(event["object"]), event["type"] == "DELETED")
        operator.controller.wake()

    return handlers


def _plain(body: Any) -> dict[str, Any]:
    """The object as the API server sent it, free of kopf's wrapping."""
    return dict(body)


def main() -> int:
    """Run until asked to end; 2 with a line on standard error where the settings are at fault."""
    try:
        settings = read_settings()
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
        liveness_endpoint=f"http://0.0.0.0:{settings.liveness_port}/healthz",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
