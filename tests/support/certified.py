"""A server whose certificate an authority of the test's own has signed."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from local_cluster.pki import Pki

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(port: int, pki: Pki, answer: Handler) -> AsyncIterator[None]:
    """Whatever is asked at a port of this machine gets that answer."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*pki.issue("server", "/CN=server", ("127.0.0.1",)))
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
    yield
    await runner.cleanup()
