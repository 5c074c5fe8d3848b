"""Work that a thread does every few seconds until it is closed.

This module imports no torch: fetch and supervisor share it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Recurring:
    """Does something again and again beside its maker; a context manager.

    Args:
        work: Must not raise: nobody would hear it.
        pause: Seconds before each time, the first included; asked anew after each.
        name: The thread's.
    """

    def __init__(
        self, work: Callable[[], object], pause: float | Callable[[], float], name: str
    ) -> None:
        self._work = work
        self._pause = pause if callable(pause) else lambda: pause
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End a pause at once, or the work that is under way when it is done."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self) -> None:
        while not self._closing.wait(self._pause()):
            self._work()
