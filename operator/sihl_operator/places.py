"""The places in line, and when a job may be told its own: positions are news that can wait."""

from __future__ import annotations

import math
from weakref import WeakKeyDictionary

from sihl_operator.queues import Reason
from sihl_operator.views import JobView, Key

Place = tuple[int | None, Reason]
"""A job's position, if it is among the first, and why it waits."""

_REFRESHES_A_SECOND = 10.0
"""So many positions are written at most: with hundreds of queues the API server has other work."""


class Places:
    """Who has been told its place, and who is to be told it when.

    Args:
        interval: Seconds between two writes of one job's position, at least.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._settled: WeakKeyDictionary[JobView, Place] = WeakKeyDictionary()
        """Views of jobs that wait, and as whom: nothing is to be written for these."""
        self._outdated: WeakKeyDictionary[JobView, tuple[str, float]] = WeakKeyDictionary()
        """Views whose position is to be written at that time, if they wait for the same reason."""
        self._refreshed: dict[Key, float] = {}
        """When a job's position was written last."""
        self._slots: dict[Key, float] = {}
        """When a job's position is to be written; the next free slot stands beside."""
        self._next_slot = 0.0

    def settle(self, job: JobView, place: Place) -> None:
        """Its status tells the place."""
        self._settled[job] = place

    def settled(self, job: JobView, place: Place) -> bool:
        """Whether its status is known to tell the place."""
        return self._settled.get(job) == place

    def put_off(self, job: JobView, place: Place, until: float) -> None:
        """Its status tells another position, for the same reason: that is mended later."""
        self._outdated[job] = (place[1][0], until)

    def put_off_until(self, job: JobView, place: Place, now: float) -> float | None:
        """Until when the job has to wait for its new position, if that is all that is new."""
        reason, until = self._outdated.get(job, ("", 0.0))
        return until if reason == place[1][0] and now < until else None

    def refresh(self, key: Key, now: float) -> float:
        """When a job's position may be written, which is taken for written if that is now."""
        due = self._refresh_due(key, now)
        if due <= now:
            self._refreshed[key] = now
        return due

    def _refresh_due(self, key: Key, now: float) -> float:
        """Not before the interval is over, then in turn."""
        due = self._refreshed.get(key, -math.inf) + self._interval
        if now < due:
            return due
        if key not in self._slots:
            self._slots[key] = max(now, self._next_slot)
            self._next_slot = self._slots[key] + 1 / _REFRESHES_A_SECOND
        return self._slots.pop(key) if self._slots[key] <= now else self._slots[key]

    def forget(self, key: Key) -> None:
        """A job that is gone."""
        self._refreshed.pop(key, None)
        self._slots.pop(key, None)

    def forget_all(self) -> None:
        """Another replica leads, and tells them."""
        self._refreshed.clear()
        self._slots.clear()
