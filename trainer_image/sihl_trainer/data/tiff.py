"""TIFF files of which every page counts: damage in them that decoders pass over.

A page whose directory breaks off, or does not say where its pixels lie, Pillow shows as black, and
behind a broken link it takes the file to end: an object less, and nobody is told.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, TypeAlias

_ORDERS = {b"II": "<", b"MM": ">"}
_BIG = 43
"""The version of BigTIFF, whose links and counts have 64 bits."""
_WHOLE = {1: "B", 3: "H", 4: "L", 16: "Q"}
"""How whole numbers are written, by type."""
_SIZE = (256, 257)
_PIXELS = ((273, 279), (324, 325))
"""Where strips, or tiles, begin, and how many bytes each has."""
_NEEDED = {*_SIZE, *(tag for pair in _PIXELS for tag in pair)}

_Tags: TypeAlias = "dict[int, tuple[int, ...]]"


def check(file: BinaryIO) -> None:
    """See that a TIFF file has the directory of each of its pages, and the pixels it points to.

    Raises:
        ValueError: It is damaged, or breaks off; says at which page.
    """
    whole = 0
    try:
        for tags in _Directories(file):
            _check_pixels(tags, file.seek(0, 2))
            whole += 1
    except (LookupError, ValueError, OverflowError, struct.error):
        raise ValueError(f"is damaged: page {whole + 1} is not whole") from None


def _check_pixels(tags: Mapping[int, tuple[int, ...]], end: int) -> None:
    (starts, sizes), *_ = (pair for pair in _PIXELS if pair[0] in tags)
    # Old writers left the sizes out where nothing is packed.
    spans = list(zip(tags[starts], tags.get(sizes, (1,) * len(tags[starts])), strict=True))
    if not spans or not all(tags[tag][0] for tag in _SIZE):
        raise ValueError
    if any(not size or start + size > end for start, size in spans):
        raise ValueError


class _Directories:
    """What the pages' directories say, one after the other."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.end = file.seek(0, 2)
        file.seek(0)
        self.order = _ORDERS[file.read(2)]
        self.is_big = self._read("H") == (_BIG,)
        self.link, self.count, self.field = ("Q", "Q", 8) if self.is_big else ("L", "H", 4)

    def __iter__(self) -> Iterator[_Tags]:
        self.file.seek(8 if self.is_big else 4)
        (at,) = self._read(self.link)
        seen = {0}  # the link behind the last
        while at not in seen:
            seen.add(at)
            self.file.seek(at)
            (count,) = self._read(self.count)
            entries = [self._read(f"HH{self.link}{self.field}s") for _ in range(count)]
            if not all(tag and kind for tag, kind, *_ in entries):
                raise ValueError
            (at,) = self._read(self.link)
            yield {tag: self._values(*entry) for tag, *entry in entries if tag in _NEEDED}

    def _values(self, kind: int, length: int, field: bytes) -> tuple[int, ...]:
        """The numbers of an entry: in its field, where they fit, or where that points to."""
        wanted = f"{length}{_WHOLE[kind]}"
        if struct.calcsize(self.order + wanted) <= self.field:
            return struct.unpack_from(self.order + wanted, field)
        self.file.seek(*struct.unpack(self.order + self.link, field))
        return self._read(wanted)

    def _read(self, wanted: str) -> tuple[Any, ...]:
        size = struct.calcsize(self.order + wanted)
        if self.file.tell() + size > self.end:
            raise ValueError
        return struct.unpack(self.order + wanted, self.file.read(size))
