"""Asks for something again and again, beside who looks at it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from sihl_dashboard.cli.errors import CommandError
from sihl_dashboard.records import RecordsError

T = TypeVar("T")
_REST = 4.0
"""Times as long as an answer took nothing is asked."""


class Poller(Generic[T]):
    """What was answered last, and what is wrong since.

    Args:
        ask: May raise CommandError or RecordsError: then the last answer stays.
        every: Seconds between two; more where an answer takes long, so as to be no burden.
    """

    def __init__(self, ask: Callable[[], T], every: float) -> None:
        self.answer: T | None = None
        self.trouble = ""
        self._ask = ask
        self._every = every
        self._over = threading.Event()
        # A daemon: an answer that is still waited for does not keep a person from leaving.
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        """Ask no more."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            try:
                self.answer = self._ask()
                self.trouble = ""
            except (CommandError, RecordsError) as error:
                self.trouble = str(error)
            except Exception as error:
                self.trouble = f"{type(error).__name__}: {error}"
            self._over.wait(max(self._every, _REST * (time.monotonic() - began)))
