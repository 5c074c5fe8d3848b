"""A job's log: attempts one after the other, read by place, by line, by time, or searched."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from sihl_dashboard.records.errors import QueryError
from sihl_dashboard.records.lines import LineIndex, RawLine, start_of_last, walk
from sihl_dashboard.records.stream import CHUNK_BYTES, Stream

MOST_LINES = 5000
LONGEST_NEEDLE = 1000
_PAGE_BYTES = 4 << 20
_LONGEST_SHOWN, _SHORTEST_SHOWN = 1 << 16, 1 << 10
_BEFORE, _AFTER = 200, 400

ERRORS = re.compile(
    rb"\b(?:error|exception|traceback|fatal|critical|killed|out of memory|diverged)\b"
    rb"|(?-i:Error)\b",
    re.IGNORECASE,
)
_OVERLAP = 64


@dataclass(frozen=True, order=True)
class Spot:
    """A place in a job's log. It stays what it is while the log is written and merged."""

    attempt: int
    offset: int


@dataclass(frozen=True)
class Line:
    """A line of the log.

    Attributes:
        spot: Where it begins: what a link to it says.
        text: Its beginning, or around what was searched for; bytes that are no UTF-8 replaced.
        size: Its bytes, without the newline.
        is_cut: Whether more of it can be had by `Log.text`.
    """

    spot: Spot
    text: str
    size: int
    is_cut: bool


@dataclass(frozen=True)
class Page:
    """Some lines.

    Attributes:
        before: From where to go back.
        after: From where to go on; at the end, from where what is written next comes.
        is_end: Whether there is nothing behind these, for now.
    """

    lines: list[Line]
    before: Spot
    after: Spot
    is_end: bool


class Log:
    """One job's log as it is now.

    Args:
        streams: By attempt.
        indexes: By attempt, what is known of their lines; grows here.
    """

    def __init__(self, streams: Mapping[int, Stream], indexes: Mapping[int, LineIndex]) -> None:
        self._streams = {number: streams[number] for number in sorted(streams)}
        self._indexes = indexes

    @property
    def start(self) -> Spot:
        """Of the first attempt."""
        return Spot(min(self._streams, default=0), 0)

    @property
    def end(self) -> Spot:
        """Of the last attempt, where the next line will be written."""
        last = max(self._streams, default=0)
        return Spot(last, self._streams[last].size if self._streams else 0)

    def forward(self, spot: Spot, count: int) -> Page:
        """So many lines from a place on."""
        _check_count(count)
        shown = _shown(count)
        lines = [_line(attempt, raw) for attempt, raw in islice(self._lines(spot, shown), count)]
        return self._page(lines, spot)

    def onward(self, spot: Spot) -> Iterator[tuple[Line, Spot]]:
        """All lines from a place on, each with where to go on behind it; read as they are taken."""
        for attempt, raw in self._lines(spot, _LONGEST_SHOWN):
            line = _line(attempt, raw)
            yield line, self._after(line)

    def backward(self, spot: Spot, count: int) -> Page:
        """So many lines before a place; the last ones of the log before `end`."""
        _check_count(count)
        shown, lines = _shown(count), list[Line]()
        upto = spot.offset
        for attempt in reversed([n for n in self._streams if n <= spot.attempt]):
            stream = self._streams[attempt]
            upto = min(upto, stream.size) if attempt == spot.attempt else stream.size
            if upto and len(lines) < count:
                start = start_of_last(stream, upto, count - len(lines))
                here = []
                for raw in walk(stream.chunks(start), start, shown):
                    if raw.offset >= upto:
                        break
                    here.append(_line(attempt, raw))
                lines = here + lines
        return self._page(lines, spot)

    def numbered(self, first: int, count: int) -> Page:
        """So many lines from the one with this number on; the job's first is 0."""
        if first < 0:
            raise QueryError("lines are counted from 0")
        for attempt, stream in self._streams.items():
            index = self._grown(attempt)
            if first < index.shown:
                start, skipped = index.place_of(first)
                spot = Spot(attempt, start)
                if skipped:
                    raw = next(islice(walk(stream.chunks(start), start, 0), skipped - 1, None))
                    spot = Spot(attempt, raw.end)
                return self.forward(spot, count)
            first -= index.shown
        return self.forward(self.end, count)

    def number_of(self, spot: Spot) -> int:
        """The number of the line that begins at a place."""
        before = sum(self._grown(n).shown for n in self._streams if n < spot.attempt)
        if spot.attempt not in self._streams:
            return before
        return before + self._grown(spot.attempt).number_at(
            spot.offset, self._streams[spot.attempt]
        )

    def count(self) -> int:
        """How many lines there are, with the one that is being written."""
        return sum(self._grown(number).shown for number in self._streams)

    def written_at(self, clock: float) -> Spot:
        """The last line that says a time up to this one; the log's start if all are later."""
        found = self.start
        for number in self._streams:
            offset = self._grown(number).written_at(clock)
            if offset is not None:
                found = Spot(number, offset)
        return found

    def search(
        self, needle: str | None, spot: Spot, count: int, most_bytes: int = 64 << 20
    ) -> Page:
        """Lines from a place on that have a text in them, whatever the case of ASCII letters.

        Args:
            needle: The text; None looks for what tells of errors.
            spot: A line's beginning.
            count: Of how many lines.
            most_bytes: That are looked at; `after` says where to go on.
        """
        _check_count(count)
        pattern, overlap = ERRORS, _OVERLAP
        if needle is not None:
            if not 0 < len(needle) <= LONGEST_NEEDLE:
                raise QueryError(f"what is searched for has 1 to {LONGEST_NEEDLE} characters")
            sought = needle.encode(errors="replace")
            pattern, overlap = re.compile(re.escape(sought), re.IGNORECASE), len(sought)
        found, after = list[Line](), spot
        for attempt in [number for number in self._streams if number >= spot.attempt]:
            stream = self._streams[attempt]
            begin = spot.offset if attempt == spot.attempt else 0
            for start, at in _hits(stream, begin, begin + most_bytes, pattern, overlap):
                found.append(_excerpt(stream, Spot(attempt, start), at))
                if len(found) == count:
                    return Page(found, spot, _behind(stream, attempt, at), is_end=False)
            looked = min(begin + most_bytes, stream.size)
            most_bytes -= looked - begin
            after = Spot(attempt, looked)
            if looked < stream.size:
                return Page(found, spot, after, is_end=False)
        return Page(found, spot, after, is_end=True)

    def text(self, spot: Spot, size: int) -> str:
        """Bytes from a place on, as text: what a line that was cut goes on with."""
        if not 0 <= size <= _PAGE_BYTES or spot.offset < 0:
            raise QueryError(f"at most {_PAGE_BYTES} bytes at a time")
        stream = self._streams.get(spot.attempt)
        return _text(stream.read(spot.offset, spot.offset + size)) if stream else ""

    def pieces(self, most: int = CHUNK_BYTES) -> Iterator[bytes]:
        """All of it as it was written, in pieces of at most so many bytes."""
        for stream in self._streams.values():
            yield from stream.chunks(0, most)

    def _grown(self, attempt: int) -> LineIndex:
        index = self._indexes[attempt]
        index.grow(self._streams[attempt])
        return index

    def _lines(self, spot: Spot, shown: int) -> Iterator[tuple[int, RawLine]]:
        for attempt, stream in self._streams.items():
            if attempt >= spot.attempt:
                start = max(spot.offset, 0) if attempt == spot.attempt else 0
                for raw in walk(stream.chunks(start), start, shown):
                    yield attempt, raw

    def _page(self, lines: list[Line], spot: Spot) -> Page:
        if not lines:
            return Page([], spot, spot, is_end=spot >= self.end)
        after = self._after(lines[-1])
        return Page(lines, lines[0].spot, after, is_end=after >= self.end)

    def _after(self, line: Line) -> Spot:
        """Where the next line begins."""
        stream = self._streams[line.spot.attempt]
        # Without a newline behind it yet it may go on: but only until the attempt has ended.
        return Spot(line.spot.attempt, min(line.spot.offset + line.size + 1, stream.size))


def _check_count(count: int) -> None:
    if not 1 <= count <= MOST_LINES:
        raise QueryError(f"1 to {MOST_LINES} lines at a time")


def _shown(count: int) -> int:
    """Of each line, so that a page stays small whatever the log holds."""
    return max(_SHORTEST_SHOWN, min(_LONGEST_SHOWN, _PAGE_BYTES // count))


def _line(attempt: int, raw: RawLine) -> Line:
    return Line(Spot(attempt, raw.offset), _text(raw.shown), raw.size, raw.size > len(raw.shown))


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _hits(
    stream: Stream, begin: int, end: int, pattern: re.Pattern[bytes], overlap: int
) -> Iterator[tuple[int, int]]:
    """By line, where it begins and where in the stream the first match in it does."""
    line = begin
    hit = -1  # the line that had the last one
    tail, at = b"", begin
    for chunk in stream.chunks(begin):
        if at >= end:
            return
        data = tail + chunk
        base = at - len(tail)
        place = 0
        # A line is left at its first match: of millions in one, each would look for its beginning.
        while match := pattern.search(data, place):
            newline = data.rfind(b"\n", place, match.start())
            begins = newline + 1 or place
            start = base + begins if begins else line
            if start > hit:
                hit = start
                yield start, base + match.start()
            place = data.find(b"\n", match.start()) + 1
            if not place:
                break
        newline = data.rfind(b"\n", 0, len(data) - min(overlap, len(data)))
        if newline >= 0:
            line = base + newline + 1
        tail = data[-overlap:]
        at += len(chunk)


def _behind(stream: Stream, attempt: int, at: int) -> Spot:
    """The beginning of the line behind the one that has this place in it."""
    for chunk in stream.chunks(at, CHUNK_BYTES):
        newline = chunk.find(b"\n")
        if newline >= 0:
            return Spot(attempt, at + newline + 1)
        at += len(chunk)
    return Spot(attempt, at)


def _excerpt(stream: Stream, spot: Spot, at: int) -> Line:
    start = max(spot.offset, at - _BEFORE)
    data, newline, _ = stream.read(start, at + _AFTER).partition(b"\n")
    whole = bool(newline)
    length = start - spot.offset + len(data)
    return Line(spot, _text(data), length, is_cut=not whole or start > spot.offset)
