"""Lines on their way into the record: kept on this machine until the store has them.

Lines gather in an open segment, a file. A segment that is closed never changes again and is
uploaded as it is. While the store is away the open segment grows up to a bound and then a new one
is begun, so that an outage costs disk in proportion to what is written, not to its length.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Segment:
    """A closed segment."""

    number: int
    path: Path
    bytes: int


class Spool:
    """Segments of one kind. Thread-safe.

    Args:
        folder: Where the segments wait; made if missing.
        segment_bytes: A segment of this size is closed even if nobody takes it.
        limit_bytes: The oldest closed segments are dropped beyond this; None keeps all.
    """

    def __init__(
        self,
        folder: Path,
        segment_bytes: int = 1 << 20,
        limit_bytes: int | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._limit_bytes = limit_bytes
        self._closed: deque[Segment] = deque()
        self._number = 0
        self._open_bytes = 0
        self._lock = threading.Lock()

    def append(self, line: bytes) -> None:
        """Add a line; its newline is ours to add."""
        with self._lock:
            self._write(line)
            if self._open_bytes >= self._segment_bytes:
                self._close()
                self._drop()

    def waiting(self) -> list[Segment]:
        """Closed segments, the oldest first; closes the open one if no other waits."""
        with self._lock:
            if not self._closed:
                self._close()
            return list(self._closed)

    def done(self, segment: Segment) -> None:
        """The store has it: forget it."""
        with self._lock:
            if segment in self._closed:
                self._closed.remove(segment)
        segment.path.unlink(missing_ok=True)

    def _write(self, line: bytes) -> None:
        with self._path().open("ab") as file:
            file.write(line + b"\n")
        self._open_bytes += len(line) + 1

    def _path(self) -> Path:
        return self._folder / f"{self._number:06d}"

    def _close(self) -> None:
        if self._open_bytes:
            self._closed.append(Segment(self._number, self._path(), self._open_bytes))
            self._number += 1
            self._open_bytes = 0

    def _drop(self) -> None:
        """Forget the oldest segments beyond the limit, and say so in the open one."""
        if self._limit_bytes is None:
            return
        dropped = []
        while sum(s.bytes for s in self._closed) > self._limit_bytes and len(self._closed) > 1:
            dropped.append(self._closed.popleft())
            dropped[-1].path.unlink(missing_ok=True)
        if dropped:
            lost = sum(segment.bytes for segment in dropped)
            self._write(
                f"[{len(dropped)} earlier log segments, {lost} bytes, were dropped: "
                "the store could not be reached for too long]".encode()
            )
