"""Lines of a stream of text, however long one is: no more is held of it than is shown."""

from __future__ import annotations

import re
import threading
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from sihl_dashboard.records.measured import seconds_of
from sihl_dashboard.records.stream import Stream

_EVERY = 256
_STAMP = re.compile(rb"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) ", re.MULTILINE)
_APART = 2.0
"""Seconds between the moments that are kept."""


@dataclass(frozen=True)
class RawLine:
    """A line's place in its stream, how long it is without its newline, and its beginning."""

    offset: int
    size: int
    shown: bytes
    is_ended: bool

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.offset + self.size + self.is_ended


def walk(chunks: Iterable[bytes], offset: int, shown: int) -> Iterator[RawLine]:
    """Lines of a stream from a line's beginning on.

    Args:
        chunks: Of the stream, from there on.
        offset: Of its beginning.
        shown: Bytes to keep of each line.
    """
    kept, length = bytearray(), 0
    for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            kept += piece[: max(shown - len(kept), 0)]
            length += len(piece)
            yield RawLine(offset, length, bytes(kept), is_ended=True)
            offset += length + 1
            kept, length = bytearray(), 0
        kept += rest[: max(shown - len(kept), 0)]
        length += len(rest)
    if length:
        yield RawLine(offset, length, bytes(kept), is_ended=False)


def start_of_last(stream: Stream, end: int, count: int, window: int = 1 << 18) -> int:
    """Where the last so many lines before a line's beginning (or the end) begin."""
    upto = end - 1  # the newline that ends the last of them
    while upto > 0:
        begin = max(upto - window, 0)
        data = stream.read(begin, upto)
        newlines = np.flatnonzero(np.frombuffer(data, np.uint8) == 10)
        if len(newlines) >= count:
            return begin + int(newlines[-count]) + 1
        count -= len(newlines)
        upto = begin
    return 0


@dataclass
class LineIndex:
    """Where each 256th line begins, and when lines were written; grows as its stream does.

    Attributes:
        count: Lines, of those that have ended.
        taken: Bytes of the stream that are in here.
    """

    count: int = 0
    taken: int = 0
    _starts: array[int] = field(default_factory=lambda: array("q", [0]))
    _times: list[float] = field(default_factory=list)
    _places: list[int] = field(default_factory=list)
    _in_line: bool = False
    _growing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def shown(self) -> int:
        """Lines, with the one that has not ended: of a killed attempt it never will."""
        return self.count + self._in_line

    def grow(self, stream: Stream) -> None:
        """Take what the stream has more; of several who ask for it one works at a time."""
        with self._growing:
            for chunk in stream.chunks(self.taken):
                self._add(chunk)

    def place_of(self, number: int) -> tuple[int, int]:
        """A place at or before the line's beginning, and how many lines lie between."""
        block = min(number // _EVERY, len(self._starts) - 1)
        return self._starts[block], number - block * _EVERY

    def number_at(self, offset: int, stream: Stream) -> int:
        """The number of the line that begins at a place."""
        block = bisect_right(self._starts, offset) - 1
        data = stream.read(self._starts[block], offset)
        return block * _EVERY + data.count(b"\n")

    def written_at(self, clock: float) -> int | None:
        """Where the last line that says a time up to this one begins; None if all are later."""
        found = bisect_right(self._times, clock)
        return self._places[found - 1] if found else None

    def _add(self, chunk: bytes) -> None:
        newlines = np.flatnonzero(np.frombuffer(chunk, np.uint8) == 10)
        # Newline number 255, 511, ... (from 0) ends the line before a block's first.
        first = -(self.count + 1) % _EVERY
        self._starts.extend((newlines[first::_EVERY] + self.taken + 1).tolist())
        for match in _STAMP.finditer(chunk):
            if match.start() == 0 and self._in_line:
                continue
            time = seconds_of(match[1].decode())
            # A clock that was set back is not followed: times here never fall.
            if time >= (self._times[-1] + _APART if self._times else time):
                self._times.append(time)
                self._places.append(self.taken + match.start())
        self.count += len(newlines)
        self.taken += len(chunk)
        self._in_line = not chunk.endswith(b"\n")
