"""Ends the process when what it read at its start has changed; the kubelet starts it anew."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

log = logging.getLogger(__name__)

_SECONDS = 5.0


def _end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


class Watched:
    """A file, as it was when this was made."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._known = self._said()

    def changed(self) -> bool:
        """Whether it says something else. What cannot be read is no change."""
        now = self._said()
        self._known = self._known or now
        return now is not None and now != self._known

    def _said(self) -> bytes | None:
        try:
            return self.file.read_bytes()
        except OSError:
            return None


@asynccontextmanager
async def ended_with(
    watched: Watched, end: Callable[[], None] = _end, every: float = _SECONDS
) -> AsyncIterator[None]:
    """Watch a file as long as the context lasts: keys are rotated, namespaces come and go.

    Args:
        watched: What was read at the start.
        end: Called once, when it says something else.
        every: Seconds between looks.
    """
    task = asyncio.create_task(_follow(watched, end, every))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _follow(watched: Watched, end: Callable[[], None], every: float) -> None:
    while True:
        await asyncio.sleep(every)
        if await asyncio.to_thread(watched.changed):
            break
    log.warning("%s says something else than at the start: started anew", watched.file)
    end()
