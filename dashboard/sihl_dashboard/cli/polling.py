"""Asks for something again and again, beside who looks at it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from sihl_dashboard.cli.errors import CommandError
from sihl_dashboard.records import RecordsError

T = TypeVar("T")


class Poller(Generic[T]):
    """What was answered last, and what is wrong since.

    Args:
        ask: May raise CommandError or RecordsError: then the last answer stays.
        every: Seconds between two.
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
            try:
                self.answer = self._ask()
                self.trouble = ""
            except (CommandError, RecordsError) as error:
                self.trouble = str(error)
            except Exception as error:
                self.trouble = f"{type(error).__name__}: {error}"
            self._over.wait(self._every)
