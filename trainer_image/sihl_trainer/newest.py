"""Work beside the main thread of which only the newest piece matters.

This module imports no torch: worker and supervisor share it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Newest(Generic[T]):
    """Works on one thing at a time, in a thread; of those that wait the newest is kept.

    Args:
        work: Must not raise: nobody would hear it.
        name: The thread's.
    """

    def __init__(self, work: Callable[[T], None], name: str) -> None:
        self._work = work
        self._waiting: T | None = None
        self._busy = False
        self._changed = threading.Condition()
        # At once: that there is no thread to be had must not be found out at a bad moment.
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def put(self, item: T) -> T | None:
        """Have it worked on after what is under way; returns what it replaces, never worked on."""
        with self._changed:
            replaced, self._waiting = self._waiting, item
            self._changed.notify_all()
            return replaced

    def finish(self, seconds: float | None = None) -> None:
        """Wait until nothing is left to do, for so long at most."""
        with self._changed:
            self._changed.wait_for(self._idle, seconds)

    def _idle(self) -> bool:
        return self._waiting is None and not self._busy

    def _run(self) -> None:
        while True:
            self._work(self._taken())
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _taken(self) -> T:
        with self._changed:
            while self._waiting is None:
                self._changed.wait()
            item, self._waiting, self._busy = self._waiting, None, True
            return item
