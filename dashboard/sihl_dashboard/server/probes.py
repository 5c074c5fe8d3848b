"""For Kubernetes and Prometheus: whether it lives, whether it is ready, and what it counts."""

from __future__ import annotations

from aiohttp import web

from sihl_dashboard.server.refusals import UndecidedError
from sihl_dashboard.server.state import state_of


async def healthz(_: web.Request) -> web.StreamResponse:
    """It answers, and so it lives."""
    return web.Response(text="ok\n")


async def readyz(request: web.Request) -> web.StreamResponse:
    """Once it has seen the cluster; a store that is away is told on the pages."""
    state = state_of(request)
    if state.is_closing or (state.cluster is not None and not state.cluster.is_listed):
        raise UndecidedError("the cluster was not listed yet")
    return web.Response(text="ok\n")


async def metrics(request: web.Request) -> web.StreamResponse:
    """GET /metrics: names nobody and no namespace."""
    state = state_of(request)
    if state.people.mode == "local":
        await state.people.of(request)
    return web.Response(
        body=state.meters.written(), headers={"Content-Type": "text/plain; version=0.0.4"}
    )
