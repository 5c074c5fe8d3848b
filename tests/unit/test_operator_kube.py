"""Calls and watches beside each other."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from aiohttp import web

from sihl_operator import kube
from sihl_operator.kube import KubeApi


async def test_watches_of_many_namespaces_leave_calls_their_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watches = 100
    watched = asyncio.Semaphore(0)

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response({"metadata": {"name": "job"}})
        stream = web.StreamResponse()
        await stream.prepare(request)
        watched.release()
        await asyncio.Event().wait()
        return stream

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host = f"http://127.0.0.1:{runner.addresses[0][1]}"
    server = SimpleNamespace(
        host=host, ssl_ca_cert=None, cert_file=None, get_api_key_with_prefix=lambda *_: None
    )
    monkeypatch.setattr(kube, "_configuration", lambda: server)
    async with KubeApi(lambda *_: None) as api:
        following = [
            asyncio.create_task(api.watch("job", "1", f"team-{number}", lambda *_: None))
            for number in range(watches)
        ]
        async with asyncio.timeout(60):
            for _ in range(watches):
                await watched.acquire()
            assert (await api.get_job("team", "job"))["metadata"]["name"] == "job"
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
    await runner.cleanup()
