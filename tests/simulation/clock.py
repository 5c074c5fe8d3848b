"""An event loop whose time is virtual: it jumps to whatever is due next."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any


class _Idle(selectors.BaseSelector):
    """Waits for nothing: time goes on instead."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nothing is due any more, and somebody still waits")
        self._loop.now += max(0.0, timeout)
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> Any:
        raise NotImplementedError

    def unregister(self, fileobj: Any) -> Any:
        raise NotImplementedError

    def get_map(self) -> Mapping[Any, Any]:
        return {}


class VirtualLoop(asyncio.BaseEventLoop):
    """One thread, no I/O, and a clock that starts at `epoch` seconds since 1970."""

    def __init__(self, epoch: float) -> None:
        super().__init__()
        self.now = epoch
        self._selector = _Idle(self)
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self.now

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass
