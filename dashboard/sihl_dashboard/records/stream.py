"""One attempt's metrics or log as one stream of bytes, however many objects hold it.

Segments and their sums hold the same bytes, one after the other. So a place in the stream stays
what it is while segments go into sums, and a reader that has come to one goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal

from sihl_api.record import RecordPaths, segments_of, to_read
from sihl_dashboard.records.errors import MissingError
from sihl_dashboard.records.place import Place

Kind = Literal["metrics", "log"]
CHUNK_BYTES = 1 << 20
_AT_ONCE = 64
_LISTINGS = 5
"""Each merging makes one more listing necessary; an attempt merges once an hour."""


@dataclass(frozen=True)
class Part:
    """An object, and the place in the stream at which its bytes begin."""

    key: str
    start: int
    size: int

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.start + self.size


class Stream:
    """Reads by places in the stream; lists again when objects have gone into a sum.

    Args:
        place: The store.
        paths: The job's record.
        attempt: Whose.
        kind: Metrics or log.
        pool: Reads several objects at a time.
    """

    def __init__(
        self, place: Place, paths: RecordPaths, attempt: int, kind: Kind, pool: Executor
    ) -> None:
        self._place = place
        self._prefix = f"{paths.attempt(attempt)}{kind}-"
        self._pool = pool
        self._parts = self._listed()

    @property
    def size(self) -> int:
        """How long it was when it was listed last."""
        return self._parts[-1].end if self._parts else 0

    def read(self, start: int, end: int) -> bytes:
        """Bytes `start` to `end` (not included), or fewer where it ends before.

        Raises:
            MissingError: objects that are listed cannot be read, again and again.
        """
        for left in reversed(range(_LISTINGS)):
            wanted = [part for part in self._parts if part.end > start and part.start < end]
            try:
                return b"".join(self._read_all(wanted, start, end))
            except MissingError:
                if not left:
                    raise
                self._parts = self._listed()
        raise AssertionError  # the loop returns or raises

    def chunks(self, start: int = 0, most: int = CHUNK_BYTES) -> Iterator[bytes]:
        """From a place to the end, in pieces of at most so many bytes."""
        while start < self.size:
            # Of many small segments only so many are held at a time.
            here = [part for part in self._parts if part.end > start][:_AT_ONCE]
            end = min(start + most, here[-1].end)
            chunk = self.read(start, end)
            if not chunk:
                return
            yield chunk
            start += len(chunk)

    def _read_all(self, parts: list[Part], start: int, end: int) -> list[bytes]:
        def read(part: Part) -> bytes:
            first, last = max(start - part.start, 0), min(end - part.start, part.size)
            if (first, last) == (0, part.size):
                return self._place.get(part.key).data[:last]
            return self._place.part(part.key, first, last)

        if len(parts) <= 1:
            return [read(part) for part in parts]
        return list(self._pool.map(read, parts))

    def _listed(self) -> list[Part]:
        sizes = self._sizes()
        chosen = to_read(sizes)
        if _has_gap(chosen):
            # Listed in pages while a sum was written: what a later page lacks is in a sum that
            # would have stood on an earlier one. Where it stays, a log's segments were dropped.
            sizes = self._sizes()
            chosen = to_read(sizes)
        parts, start = [], 0
        for key in chosen:
            parts.append(Part(key, start, sizes[key]))
            start += sizes[key]
        return parts

    def _sizes(self) -> dict[str, int]:
        return {item.key: item.bytes for item in self._place.items(self._prefix)}


def _has_gap(keys: list[str]) -> bool:
    upto = -1
    for key in keys:
        first, last = segments_of(key) or (0, 0)
        if first > upto + 1:
            return True
        upto = last
    return False
