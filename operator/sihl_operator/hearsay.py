"""What others say, by their Events, of pods that do not say themselves what lacks."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

_IDS = re.compile(r"\b[0-9a-f]{12,}\b")
Told = tuple[str, str]
"""An Event's reason and message."""


class Hearsay:
    """What was heard of each pod last, and when.

    Args:
        clock: Seconds that go on evenly.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._heard: dict[str, tuple[float, tuple[Told, ...]]] = {}

    def hear(self, uid: str, told: tuple[Told, ...]) -> None:
        """All that is said of a pod now, the newest first."""
        self._heard[uid] = (self._clock(), told)

    def of(self, uid: str) -> tuple[Told, ...]:
        """What was said of a pod when it was asked for last."""
        return self._heard[uid][1] if uid in self._heard else ()

    def age(self, uid: str) -> float:
        """Seconds since it was asked for; infinite where it never was."""
        return self._clock() - self._heard[uid][0] if uid in self._heard else math.inf

    def forget(self, uid: str) -> None:
        """A pod that is gone."""
        self._heard.pop(uid, None)


def told(events: Iterable[dict[str, Any]]) -> tuple[Told, ...]:
    """What Events say, the newest first.

    Ids of sandboxes and containers are left out: each try has one of its own.
    """
    newest_first = sorted(events, key=_last_seen, reverse=True)
    return tuple(
        (str(event.get("reason") or ""), _IDS.sub("...", str(event.get("message") or "")))
        for event in newest_first
    )


def _last_seen(event: dict[str, Any]) -> str:
    """When an Event was seen last, by the clock of who wrote it: to be held against its like."""
    series = event.get("series") or {}
    times = (
        event.get("lastTimestamp"),
        event.get("eventTime"),
        series.get("lastObservedTime"),
        event["metadata"].get("creationTimestamp"),
    )
    return max(str(when or "") for when in times)
