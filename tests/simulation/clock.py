"""An event loop whose time is virtual, and processes in it that can be paused and killed."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
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

    def __init__(self, epoch: float) -> None:
        super().__init__()
        self.now = epoch
        self._due: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timers = itertools.count()
        self.set_exception_handler(lambda *_: None)  # a killed process leaves tasks behind

    def time(self) -> float:
        return self.now

    # As the base class has them, without what only threads, debugging and real clocks need: half
    # of a history's time is spent here.

    def call_soon(  # type: ignore[override] # typeshed ties the arguments to the callback's
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(  # type: ignore[override] # as above
        self, when: float, callback: Callable[..., object], *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:  # fmt: skip
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._due, (when, next(self._timers), handle))
        return handle

    def call_later(  # type: ignore[override] # as above
        self, delay: float, callback: Callable[..., object], *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:  # fmt: skip
        return self.call_at(self.now + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over once it is due."""

    def _run_once(self) -> None:
        ready, due = self._ready, self._due
        if not ready:
            while due and due[0][2]._cancelled:
                heapq.heappop(due)
            if not due:
                raise RuntimeError("nothing is due any more, and somebody still waits")
            self.now = max(self.now, due[0][0])
        while due and due[0][0] <= self.now:
            ready.append(heapq.heappop(due)[2])
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
