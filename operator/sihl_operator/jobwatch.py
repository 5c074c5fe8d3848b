"""How kopf watches the TrainingJobs: with what settings, and through which calls.

kopf finds the kind, begins a watch for each namespace that is served, takes it up where it ended,
and begins anew where the API server has forgotten since. Its calls go out as the operator's own do,
so that one place knows the address, the token and the authority, and none of them can write.

Whatever kopf would list is listed by the reflector, which tells what is gone as well, at the moment
when kopf asks; to kopf the list is empty, and has the version from which to watch.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Mapping
from typing import Any

import aiohttp
import kopf

from sihl_api.text import shortened
from sihl_api.trainingjob import GROUP, PLURAL
from sihl_operator.kube import ApiError, KubeApi
from sihl_operator.reflector import Reflector

_RETRY_SECONDS = 1.0
_WATCH_SECONDS = 300
_WORKER_SECONDS = 0.1
"""So long has kopf a task for a job after its last event: thousands of them would need memory."""
_TRIED_AGAIN = (403, 429)
"""Of the refusals below 500 those that do not end kopf: it tries again by itself."""
_LONG_AGO = "1"
"""A version that every API server has forgotten."""
_NOBODY = "metadata.name=-"
"""Selects nothing: no object may be called so."""


def settle(settings: kopf.OperatorSettings) -> None:
    """Have kopf watch, and do nothing else: it reads no other kind, and keeps nothing in jobs."""
    settings.posting.enabled = False
    settings.scanning.disabled = True  # else it would need to read namespaces and CRDs
    settings.peering.standalone = True
    settings.persistence.diffbase_storage = _NoDifferences()
    settings.persistence.progress_storage = _NoProgress()
    settings.queueing.idle_timeout = _WORKER_SECONDS
    settings.networking.error_backoffs = itertools.repeat(_RETRY_SECONDS)  # never the last one
    settings.watching.reconnect_backoff = _RETRY_SECONDS
    settings.watching.server_timeout = random.randint(_WATCH_SECONDS, 2 * _WATCH_SECONDS)


class JobWatch:
    """Makes kopf's calls.

    Args:
        api: The API server.
        reflector: Lists the jobs.
    """

    def __init__(self, api: KubeApi, reflector: Reflector) -> None:
        self._api = api
        self._reflector = reflector
        self._listed: dict[str, int] = {}
        """By path, how often the API server's store had been put back when kopf listed last."""
        self._watched: dict[str, float] = {}
        """By path, when the last watch began."""

    def login(self) -> kopf.AiohttpSession:
        """What kopf takes for its own connection."""
        session = aiohttp.ClientSession(middlewares=(self._ask,))
        return kopf.AiohttpSession(server=self._api.host, aiohttp_session=session)

    async def _ask(
        self, request: aiohttp.ClientRequest, _: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if request.method != "GET":
            raise RuntimeError(f"kopf is to watch, not to {request.method} {request.url}")
        if not request.url.path.endswith(f"/{PLURAL}"):
            return await self._discover(request)
        if "watch" in request.url.query:
            return await self._watch(request)
        return await self._list(request)

    async def _discover(self, request: aiohttp.ClientRequest) -> aiohttp.ClientResponse:
        """What kinds there are; kopf, which asks but once, waits until jobs are among them."""
        answer = await self._open(request)
        if request.url.path == "/apis":
            groups = (await answer.json())["groups"]
            if GROUP not in {group["name"] for group in groups}:
                raise aiohttp.ClientConnectionError("the CRD of TrainingJobs is not installed")
        return answer

    async def _list(self, request: aiohttp.ClientRequest) -> aiohttp.ClientResponse:
        before = self._reflector.version("job")
        answer = await self._open(request, fieldSelector=_NOBODY)
        if answer.status >= 400:  # no list: kopf asks again
            return answer
        version = int((await answer.json())["metadata"]["resourceVersion"])
        try:
            await self._reflector.reach("job", version, before)
        except ApiError as error:
            raise aiohttp.ClientConnectionError(str(error)) from error
        self._listed[request.url.path] = self._reflector.put_back("job")
        return answer

    async def _watch(self, request: aiohttp.ClientRequest) -> aiohttp.ClientResponse:
        path, loop = request.url.path, asyncio.get_running_loop()
        # One that ends as it begins must not spin.
        await asyncio.sleep(self._watched.get(path, 0.0) + _RETRY_SECONDS - loop.time())
        self._watched[path] = loop.time()
        if self._listed.get(path) != self._reflector.put_back("job"):
            # What kopf has seen is void, and its version may be of days to come.
            return await self._open(request, resourceVersion=_LONG_AGO)
        return await self._open(request)

    async def _open(self, request: aiohttp.ClientRequest, **query: str) -> aiohttp.ClientResponse:
        """An answer that kopf can take: what would end the process is tried again instead.

        Raises:
            aiohttp.ClientConnectionError: To kopf, which then asks again.
        """
        answer = await self._api.open(request.url.update_query(query))
        if 400 <= answer.status < 500 and answer.status not in _TRIED_AGAIN:
            said = shortened(await answer.text(errors="replace"), 200)
            raise aiohttp.ClientConnectionError(f"{answer.status}: {said}")
        return answer


class _NoDifferences(kopf.DiffBaseStorage):
    """What a job was like before is nobody's concern here, and costs time to keep."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: Any) -> None:
        """Nothing."""


class _NoProgress(kopf.ProgressStorage):
    """No handler of ours is called twice for one event."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        """Nothing."""

    def purge(self, **_: Any) -> None:
        """Nothing."""

    def touch(self, **_: Any) -> None:
        """Nothing."""

    def clear(self, *, essence: Mapping[str, Any]) -> Any:
        return essence
