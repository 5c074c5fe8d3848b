"""Servers of tests that answer in a thread of their own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseServer

_EVERY = 0.01
"""Seconds: how soon a server hears that it is to end."""


@contextmanager
def listening(server: BaseServer) -> Iterator[None]:
    """It answers until the context ends."""
    threading.Thread(target=server.serve_forever, args=(_EVERY,), daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
