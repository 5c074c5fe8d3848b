"""What was parsed, kept while there is room: a record is read once for all who look at it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from sihl_dashboard.records.measured import Measured
from sihl_dashboard.records.refs import JobRef


@dataclass
class Kept:
    """A job's measurements.

    Attributes:
        attempts: By number.
        asked: When the store was asked last; 0 never.
        is_complete: Whether the job had ended for good by then.
        lock: Held by the one who asks it.
    """

    attempts: dict[int, Measured] = field(default_factory=dict)
    asked: float = 0.0
    is_complete: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def size(self) -> int:
        """What it takes of memory."""
        return sum(measured.size for measured in list(self.attempts.values()))


class Shelf:
    """The jobs that were looked at last. Thread-safe.

    Args:
        limit: Bytes that all together may take; the last one stays whatever it takes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[JobRef, Kept] = OrderedDict()
        self._lock = threading.Lock()

    def use(self, ref: JobRef, work: Callable[[Kept], None]) -> Kept:
        """A job's, after this work on it, which only one does at a time."""
        with self._lock:
            kept = self._kept.setdefault(ref, Kept())
            self._kept.move_to_end(ref)
        with kept.lock:
            work(kept)
        self._make_room()
        return kept

    def _make_room(self) -> None:
        with self._lock:
            taken = sum(kept.size for kept in self._kept.values())
            while taken > self._limit and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                taken -= oldest.size
