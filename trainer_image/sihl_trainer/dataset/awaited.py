"""Batches that a thread waits for, so that who needs them hears a stop meanwhile."""

from __future__ import annotations

import queue
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator
from typing import Generic, TypeVar

from sihl_trainer.errors import TrainerError

T = TypeVar("T")

STALLED_SECONDS = 600.0
"""Without a batch for so long, none is to be expected: a disk does not answer."""


class Awaited(Iterator[T], Generic[T]):
    """An iterator that can be waited for with a limit; to be closed, by whoever made it.

    Args:
        source: Runs in a thread of its own, from its first step to its close, one step for each
            that is asked for.
        what: For the message, what the next step is to bring: "the batch with a.jpg".
        patience: Seconds for which a step is waited for.
    """

    def __init__(
        self,
        source: Generator[T],
        what: Callable[[], str],
        patience: float = STALLED_SECONDS,
    ) -> None:
        self._what = what
        self._patience = patience
        self._asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._given: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()
        self._since: float | None = None  # when the step that is awaited was asked for
        self._here: list[T | BaseException] = []
        self._abandoned = False
        work = (source, self._asked, self._given)
        self._thread = threading.Thread(target=_work, args=work, name="batches", daemon=True)
        self._thread.start()
        # The thread knows the queues only: an iterator that is forgotten is closed as well.
        weakref.finalize(self, self._asked.put, False)

    def ready(self, seconds: float) -> bool:
        """Whether the next step is done, its error and the end included; waits so long at most.

        Raises:
            TrainerError: It is not, and patience is over.
        """
        if self._here:
            return True
        if self._since is None:
            self._since = time.monotonic()
            self._asked.put(True)
        try:
            self._here.append(self._given.get(timeout=seconds))
        except queue.Empty:
            if time.monotonic() - self._since < self._patience:
                return False
            raise TrainerError(
                "LoaderStalled",
                f"{self._what()} did not come within {self._patience:.0f} s: the node's disk does "
                "not answer, or the processes that decode images are starved: look at the node, "
                "and at runner.resources.requests.cpu",
            ) from None
        return True

    def __next__(self) -> T:
        while not self.ready(self._patience):
            pass
        self._since = None
        given = self._here.pop()
        if isinstance(given, BaseException):
            raise given
        return given

    def abandon(self) -> None:
        """Have the source end by itself: from here on nobody waits for it."""
        self._asked.put(False)
        self._abandoned = True

    def close(self) -> None:
        """End the source, at once where a step is under way: nobody waits for that any more."""
        self._asked.put(False)
        if not self._abandoned and (self._since is None or self._here):
            self._thread.join()


def _work(
    source: Generator[T],
    asked: queue.SimpleQueue[bool],
    given: queue.SimpleQueue[T | BaseException],
) -> None:
    while asked.get():
        try:
            given.put(next(source))
        except BaseException as error:  # the end of the source among them
            given.put(error)
    source.close()
