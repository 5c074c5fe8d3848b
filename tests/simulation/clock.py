"""An event loop whose time is virtual, and processes in it that can be paused and killed."""

from __future__ import annotations

import asyncio
import heapq
from contextvars import Context, ContextVar
from typing import Any


class Gate:
    """What a process would do next is held back here while it is paused, for ever once killed."""

    def __init__(self) -> None:
        self.closed = False
        self.held: list[Any] = []


GATE: ContextVar[Gate | None] = ContextVar("gate", default=None)
"""Set in the context of each process's tasks; what they start inherits it."""


class VirtualLoop(asyncio.BaseEventLoop):
    """One thread, no I/O: when nothing can be done at once, time jumps to what is due next."""

    _ready: Any
    _scheduled: list[Any]

    def __init__(self, epoch: float) -> None:
        super().__init__()
        self.now = epoch
        self.set_exception_handler(lambda *_: None)  # a killed process leaves tasks behind

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        if not ready:
            if not scheduled:
                raise RuntimeError("nothing is due any more, and somebody still waits")
            self.now = max(self.now, scheduled[0]._when)
        while scheduled and scheduled[0]._when <= self.now:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            ready.append(handle)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            gate = handle._context.get(GATE)
            if gate is not None and gate.closed:
                gate.held.append(handle)
            else:
                handle._run()

    def open(self, gate: Gate) -> None:
        """Let a paused process go on."""
        gate.closed = False
        self._ready.extend(gate.held)
        gate.held.clear()

    def _check_closed(self) -> None:
        """A history's tasks are thrown away, wherever they stand, after its loop has ended."""

    def _process_events(self, event_list: list[Any]) -> None:
        raise NotImplementedError

    def _write_to_self(self) -> None:
        raise NotImplementedError


def context_of(gate: Gate) -> Context:
    """A context for a process's first task."""
    context = Context()
    context.run(GATE.set, gate)
    return context
