"""Signals that ask for a stop, from the process's first moment on."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn


class StopSignals:
    """Catches signals at once, and hands them on as soon as somebody can act on them.

    PID 1 has no default action for SIGTERM: one that came before a handler was set would be lost.
    So this stands before imports that take long. To be made in the main thread.

    Args:
        numbers: Which signals ask for a stop.
    """

    def __init__(self, *numbers: signal.Signals) -> None:
        self._count = 0
        self._callback: Callable[[int], None] | None = None
        for number in numbers or (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def hand_to(self, callback: Callable[[int], None]) -> None:
        """Call this for each signal, those of the past included, with its count from 1.

        It runs in the main thread, between any two of its instructions.
        """
        self._callback = callback
        for count in range(1, self._count + 1):
            callback(count)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1
        if self._callback is not None:
            self._callback(self._count)


def leave(code: int) -> NoReturn:
    """End the process now, whatever its threads are at.

    The interpreter would wait for the threads of an upload that was given up, past the grace
    period that it was given up for.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
