"""Lines on their way into the record: kept on this machine until the store has them.

Lines gather in an open segment, in memory. A segment that is closed is a file, never changes again
and is uploaded as it is. While the store is away the open segment grows up to a bound and then a
new one is begun, so that an outage costs disk in proportion to what is written, not to its length.
A disk that is full costs no line: what it does not take stays in memory.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Segment:
    """A closed segment; `held` is its content where the disk did not take it."""

    number: int
    path: Path
    size: int
    held: bytes | None = None


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
        self._open = bytearray()
        self._lock = threading.Lock()

    def append(self, line: bytes) -> None:
        """Add a line; its newline is ours to add."""
        with self._lock:
            self._write(line)
            if len(self._open) >= self._segment_bytes:
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
        self._open += line + b"\n"

    def _close(self) -> None:
        if not self._open:
            return
        path, content, held = self._folder / f"{self._number:06d}", bytes(self._open), None
        try:
            path.write_bytes(content)
        except OSError:
            held = content
            with contextlib.suppress(OSError):
                path.unlink()  # the part of it that found room
        self._closed.append(Segment(self._number, path, len(content), held))
        self._number += 1
        self._open.clear()

    def _drop(self) -> None:
        """Forget the oldest segments beyond the limit, and say so in the open one."""
        if self._limit_bytes is None:
            return
        dropped = []
        while sum(s.size for s in self._closed) > self._limit_bytes and len(self._closed) > 1:
            dropped.append(self._closed.popleft())
            dropped[-1].path.unlink(missing_ok=True)
        if dropped:
            lost = sum(segment.size for segment in dropped)
            self._write(
                f"[{len(dropped)} earlier log segments, {lost} bytes, were dropped: "
                "the store could not be reached for too long]".encode()
            )
