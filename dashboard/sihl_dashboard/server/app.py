"""The web application: routes behind their guard, and what begins and ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from sihl_dashboard.server.connections import heard, listening
from sihl_dashboard.server.guard import check_local_host, guarded, harden, tell_refusals
from sihl_dashboard.server.local import OPEN, LocalPeople
from sihl_dashboard.server.pages import ASSETS, make_ready
from sihl_dashboard.server.routes import ROUTES, Handler
from sihl_dashboard.server.state import STATE, State

_LARGEST = 1 << 20
_LONGEST_LINE = 64 << 10
"""An address names up to a hundred jobs."""


@dataclass(frozen=True)
class Served:
    """A server that listens.

    Attributes:
        url: Its address, without a final slash.
        opening: What a browser opens first.
    """

    url: str
    opening: str


def application(state: State, assets: Path) -> web.Application:
    """All routes over one state.

    Args:
        state: What requests share.
        assets: The folder that has uPlot.
    """
    app = web.Application(
        middlewares=[tell_refusals, _hear, check_local_host], client_max_size=_LARGEST
    )
    app[STATE] = state
    app[ASSETS] = assets
    app.on_response_prepare.append(_harden)
    if isinstance(state.people, LocalPeople):
        app.router.add_get(OPEN, state.people.open)
    for route in ROUTES:
        for method in route.methods:
            app.router.add_route(method, route.path, guarded(route))
    return app


@web.middleware
async def _hear(request: web.Request, handler: Handler) -> web.StreamResponse:
    await heard(request)
    return await handler(request)


async def _harden(_: web.Request, answer: web.StreamResponse) -> None:
    harden(answer)


@asynccontextmanager
async def serving(
    state: State, assets: Path, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Served]:
    """Listen until the context ends; then streams end, and what is read is let go of.

    Args:
        state: What requests share.
        assets: The folder that has uPlot.
        host: The address to listen at.
        port: Likewise; 0 is any that is free.
    """
    runner = web.AppRunner(
        application(state, assets), handler_cancellation=True, shutdown_timeout=3
    )
    await runner.setup()
    await asyncio.to_thread(make_ready, assets)
    server = None
    try:
        server = await listening(
            runner, host, port,
            access_log=None, max_line_size=_LONGEST_LINE, max_field_size=_LONGEST_LINE,
        )  # fmt: skip
        bound = server.sockets[0].getsockname()[1]
        url = f"http://{host or 'localhost'}:{bound}"
        path = state.people.path if isinstance(state.people, LocalPeople) else "/"
        yield Served(url, f"{url}{path}")
    finally:
        state.is_closing = True
        if server is not None:
            server.close()
        await state.hub.close()
        await runner.cleanup()
        await asyncio.to_thread(state.close)
