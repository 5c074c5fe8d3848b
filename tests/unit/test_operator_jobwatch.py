"""kopf's watch of jobs, over HTTP, whatever the API server answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from kubernetes import config

from sihl_api.trainingjob import GROUP, PLURAL, VERSION
from sihl_operator import jobwatch
from tests.support.objects import job
from tests.support.watching import Watcher, comes, kopf_watching

HERE = f"/apis/{GROUP}/{VERSION}"
VERBS = ["list", "watch"]
KIND = {
    "kind": "TrainingJob", "name": PLURAL, "singularName": "", "namespaced": True, "verbs": VERBS
}  # fmt: skip
NAMESPACE = {
    "kind": "Namespace", "name": "namespaces", "singularName": "", "namespaced": False,
    "verbs": VERBS,
}  # fmt: skip
JOB = ("team", "job")


class Server:
    """An API server that has jobs, as far as HTTP shows one.

    Attributes:
        version: Of its store.
        forgotten: What is older than this version cannot be watched from.
        status: What all are answered; 200: as it should be.
        jobs: What there is.
        lists: How many were asked for that are more than the version.
        watches: From which version each was asked for.
        methods: Of all requests.
    """

    def __init__(self) -> None:
        self.version, self.forgotten, self.status = 100, 50, 200
        self.installed = True
        self.jobs: list[dict[str, Any]] = []
        self.lists = 0
        self.watches: list[int] = []
        self.methods: set[str] = set()
        self._streams: list[asyncio.Queue[dict[str, Any] | None]] = []

    def tell(self, event: str, raw: dict[str, Any]) -> None:
        """An event on all watches."""
        self.version = int(raw["metadata"]["resourceVersion"])
        for stream in self._streams:
            stream.put_nowait({"type": event, "object": raw})

    def end_watches(self) -> None:
        """All that are open."""
        for stream in self._streams:
            stream.put_nowait(None)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.methods.add(request.method)
        if self.status != 200:
            return web.json_response({"kind": "Status", "message": "no"}, status=self.status)
        if request.path.endswith(f"/{PLURAL}"):
            if not self.installed:
                return web.json_response({"kind": "Status"}, status=404)
            return await (self._watch if "watch" in request.query else self._list)(request)
        groups = [{"name": GROUP, "versions": [{"version": VERSION}],
                   "preferredVersion": {"version": VERSION}}]  # fmt: skip
        told: dict[str, Any] = {
            "/apis": {"groups": groups if self.installed else []},
            HERE: {"resources": [KIND]},
            "/api": {"versions": ["v1"]},
            "/api/v1": {"resources": [NAMESPACE]},
        }
        nothing = {"resources": [], "items": [], "metadata": self._metadata()}
        return web.json_response(told.get(request.path, nothing))

    def _metadata(self) -> dict[str, Any]:
        return {"resourceVersion": str(self.version)}

    async def _list(self, request: web.Request) -> web.Response:
        bare = "fieldSelector" in request.query
        self.lists += not bare
        items = [] if bare else self.jobs
        return web.json_response({"items": items, "metadata": self._metadata()})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        self.watches.append(int(request.query["resourceVersion"]))
        stream = web.StreamResponse()
        await stream.prepare(request)
        told: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        if self.watches[-1] < self.forgotten:
            told.put_nowait({"type": "ERROR", "object": {"code": 410}})
        self._streams.append(told)
        while (event := await told.get()) is not None:
            await stream.write(json.dumps(event).encode() + b"\n")
        self._streams.remove(told)
        return stream


@pytest.fixture
async def server(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    """A server that the operator's client finds."""
    server, application = Server(), web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    kubeconfig = tmp_path_factory.mktemp("kube") / "config"
    cluster = {"server": f"http://127.0.0.1:{runner.addresses[0][1]}"}
    kubeconfig.write_text(json.dumps({
        "clusters": [{"name": "c", "cluster": cluster}], "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }))  # fmt: skip
    monkeypatch.setattr(config.kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
    monkeypatch.setattr(jobwatch, "_RETRY_SECONDS", 0.02)
    yield server
    await runner.cleanup()


def version_of(watcher: Watcher) -> str:
    return watcher.world.jobs[JOB].resource_version if JOB in watcher.world.jobs else ""


async def test_a_watch_that_ends_goes_on_from_the_last_event_or_bookmark(server: Server) -> None:
    async with kopf_watching() as watcher:
        await comes(lambda: server.watches)
        server.tell("ADDED", dict(job(version=107).raw))
        await comes(lambda: version_of(watcher) == "107")
        server.end_watches()
        await comes(lambda: len(server.watches) > 1)
        server.tell("BOOKMARK", {"metadata": {"resourceVersion": "120"}})
        server.tell("MODIFIED", dict(job(version=121).raw))
        server.tell("BOOKMARK", {"metadata": {"resourceVersion": "130"}})
        await comes(lambda: version_of(watcher) == "121")
        server.end_watches()
        await comes(lambda: len(server.watches) > 2)
        server.tell("DELETED", dict(job(version=131).raw))
        await comes(lambda: not watcher.world.jobs)
    assert server.watches == [100, 107, 130]


async def test_what_there_is_when_it_begins_is_listed_once_however_many_namespaces_are_served(
    server: Server,
) -> None:
    server.jobs = [dict(job(version=90).raw)]
    async with kopf_watching("team", "other", "third") as watcher:
        await comes(lambda: len(server.watches) == 3)
        assert version_of(watcher) == "90"
    assert server.lists == 3, "one for each namespace"
    assert server.watches == [100] * 3


async def test_where_the_api_server_has_forgotten_all_is_listed_at_once_and_what_is_gone_is_lost(
    server: Server,
) -> None:
    async with kopf_watching() as watcher:
        await comes(lambda: server.watches)
        server.tell("ADDED", dict(job(version=107).raw))
        await comes(lambda: JOB in watcher.world.jobs)
        before = server.lists
        server.version, server.forgotten = 500, 400
        server.end_watches()
        await comes(lambda: not watcher.world.jobs)
        await comes(lambda: server.watches[-1] == 500)
    assert server.lists == before + 1
    assert server.watches == [100, 107, 500]


async def test_after_the_api_servers_store_was_put_back_a_watch_begins_at_the_new_list(
    server: Server,
) -> None:
    server.version = 600
    async with kopf_watching() as watcher:
        await comes(lambda: server.watches)
        server.version, server.jobs = 60, [dict(job(version=55).raw)]
        server.end_watches()
        await comes(lambda: server.watches == [600, 600])
        await watcher.reflector.relist()
        server.end_watches()
        await comes(lambda: server.watches[-1] == 60)
        server.tell("MODIFIED", dict(job(version=61).raw))
        await comes(lambda: version_of(watcher) == "61")


@pytest.mark.parametrize("status", [401, 403, 404, 410, 429, 500, 504])
async def test_no_refusal_ends_the_watch(server: Server, status: int) -> None:
    async with kopf_watching() as watcher:
        await comes(lambda: server.watches)
        server.status = status
        server.end_watches()
        await asyncio.sleep(0.1)  # so that it is refused several times
        server.status = 200
        await comes(lambda: len(server.watches) > 1)
        server.tell("ADDED", dict(job(version=107).raw))
        await comes(lambda: JOB in watcher.world.jobs)


async def test_a_crd_that_is_installed_later_or_anew_is_waited_for(server: Server) -> None:
    server.installed = False
    async with kopf_watching() as watcher:
        await asyncio.sleep(0.1)  # so that it asks several times
        server.installed = True
        await comes(lambda: server.watches)
        server.installed = False
        server.end_watches()
        await asyncio.sleep(0.1)
        server.installed = True
        await comes(lambda: len(server.watches) > 1)
        server.tell("ADDED", dict(job(version=107).raw))
        await comes(lambda: JOB in watcher.world.jobs)


async def test_a_watch_that_ends_at_once_is_not_begun_again_at_once(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobwatch, "_RETRY_SECONDS", 0.05)
    loop = asyncio.get_running_loop()
    async with kopf_watching():
        await comes(lambda: server.watches)
        began = loop.time()
        while len(server.watches) < 5:
            server.end_watches()
            await asyncio.sleep(0.001)
        assert loop.time() - began >= 3 * 0.05


async def test_kopf_only_reads_and_keeps_no_task_for_a_job(server: Server) -> None:
    def workers() -> int:
        return sum(task.get_name().startswith("worker for") for task in asyncio.all_tasks())

    async with kopf_watching() as watcher:
        await comes(lambda: server.watches)
        for number in range(20):
            raw = dict(job(f"job-{number}", version=107 + number).raw)
            server.tell("ADDED", raw)
        await comes(lambda: len(watcher.world.jobs) == 20)
        await comes(lambda: workers() == 0)
        session = watcher.job_watch.login().aiohttp_session
        with pytest.raises(RuntimeError, match="kopf is to watch, not to PATCH"):
            await session.patch(f"{watcher.api.host}{HERE}/namespaces/team/{PLURAL}/job")
        await session.close()
    assert server.methods == {"GET"}
