"""Connections: who says nothing is not waited for, and what is no request is answered safely."""

from __future__ import annotations

import asyncio
import resource
from contextlib import suppress
from typing import Any

from aiohttp import web

from sihl_dashboard.server.guard import harden

QUIET = 30.0
"""Seconds within which a connection's first request has come, and the body of each."""
_BACKLOG = 128


class Connection(web.RequestHandler):
    """One connection, as aiohttp has it but for that."""

    __slots__ = ("_giving_up",)

    _giving_up: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._giving_up = asyncio.get_running_loop().call_later(QUIET, transport.close)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Wait no longer."""
        self._giving_up.cancel()
        super().connection_lost(exc)

    def heard(self) -> None:
        """A request has come."""
        self._giving_up.cancel()

    def handle_error(self, request: web.BaseRequest, *args: Any, **more: Any) -> web.StreamResponse:
        """What is told to whoever sent what is no request: it passes no middleware."""
        answer = super().handle_error(request, *args, **more)
        harden(answer)
        return answer


async def heard(request: web.Request) -> None:
    """Take in all of a request. Raises HTTPException: it does not come, is too large or broken."""
    if request.body_exists:
        try:
            async with asyncio.timeout(QUIET):
                await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
        except web.RequestPayloadError:
            raise web.HTTPBadRequest from None
    if isinstance(request.protocol, Connection):
        request.protocol.heard()


async def listening(
    runner: web.AppRunner, host: str, port: int, **options: Any
) -> asyncio.base_events.Server:
    """Listen for an application that is set up; with options as `web.RequestHandler` takes them."""
    _take_many()
    loop, server = asyncio.get_running_loop(), runner.server
    assert server is not None
    return await loop.create_server(
        lambda: Connection(server, loop=loop, **options), host or None, port, backlog=_BACKLOG
    )


def _take_many() -> None:
    """As many open files as the process may have: each tab is one, and 1,024 the habit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
