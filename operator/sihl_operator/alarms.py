"""What is due: when a job or a queue is to be decided on anew, though nothing changed."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator

from sihl_operator.views import Key

Subject = tuple[str, Key]
"""What is to be decided on: a "job" or a "queue", and its key."""


class Alarms:
    """One alarm a subject: its earliest."""

    def __init__(self) -> None:
        self._timers: list[tuple[float, Subject]] = []
        self._first: dict[Subject, float] = {}
        """By subject, the first of its timers; the others are void."""

    def set(self, when: float, key: Key, what: str = "job") -> None:
        """Have a job or a queue decided on anew, at that time at the latest."""
        subject = what, key
        if when < self._first.get(subject, math.inf):
            self._first[subject] = when
            heapq.heappush(self._timers, (when, subject))

    def ring(self, now: float) -> Iterator[Subject]:
        """Take what is due by now."""
        while self._timers and self._timers[0][0] <= now:
            due, subject = heapq.heappop(self._timers)
            if self._first.get(subject) == due:
                del self._first[subject]
                yield subject

    @property
    def next(self) -> float:
        """When something is due next; infinity if nothing is."""
        return self._timers[0][0] if self._timers else math.inf
