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
        self._sizes: dict[JobRef, int] = {}
        self._lock = threading.Lock()

    def use(self, ref: JobRef, work: Callable[[Kept], None]) -> Kept:
        """A job's, after this work on it, which only one does at a time."""
        with self._lock:
            kept = self._kept.setdefault(ref, Kept())
            self._kept.move_to_end(ref)
        with kept.lock:
            work(kept)
            size = kept.size
        self._make_room(ref, size)
        return kept

    def has(self, ref: JobRef) -> bool:
        """Whether anything of a job is here, or about to be."""
        with self._lock:
            return ref in self._kept

    def has_all(self, ref: JobRef) -> bool:
        """Whether a job's are here, and it had ended for good when they were read."""
        with self._lock:
            return ref in self._kept and self._kept[ref].is_complete

    def _make_room(self, ref: JobRef, size: int) -> None:
        with self._lock:
            if ref in self._kept:  # others may have needed its room meanwhile
                self._sizes[ref] = size
            taken = sum(self._sizes.values())
            while taken > self._limit and len(self._kept) > 1:
                oldest, _ = self._kept.popitem(last=False)
                taken -= self._sizes.pop(oldest, 0)
