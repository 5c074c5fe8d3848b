"""Trying again while a store is away."""

from __future__ import annotations

import itertools
import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from sihl_trainer.errors import Unavailable

T = TypeVar("T")
log = logging.getLogger(__name__)


def backoff(failures: int, first: float = 0.5, most: float = 30) -> float:
    """Seconds to wait after so many failures in a row: doubling, up to a bound."""
    return min(most, first * 2.0 ** min(failures - 1, 30))


def persist(
    action: Callable[[], T],
    what: str,
    until: Callable[[], float],
    cancelled: threading.Event | None = None,
) -> T:
    """Do it until it succeeds, or time is up.

    Args:
        action: Raises Unavailable where another try may help.
        what: For the log: "Uploading the model".
        until: The `time.monotonic()` after which to give up; asked anew after each failure.
        cancelled: Set to give up at once.

    Raises:
        Unavailable: the last one, once time is up.
    """
    waiting = cancelled or threading.Event()
    for failures in itertools.count(1):
        try:
            return action()
        except Unavailable as error:
            pause = backoff(failures) * random.uniform(0.8, 1.2)
            if time.monotonic() + pause >= until():
                raise
            log.warning("%s: %s. Trying again in %.1f s.", what, error, pause)
            if waiting.wait(pause):
                raise
    raise AssertionError("unreachable")
