"""Waiting for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T | None], seconds: float = 60, pause: float = 0.01) -> T:
    """What the condition answers as soon as it is true; fails after a generous time."""
    end = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < end, f"still not true after {seconds:.0f} s"
        time.sleep(pause)
    return answer
