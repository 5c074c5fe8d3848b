"""PNG files without what no viewer shows: texts, colour profiles, times; and damage in them.

A generator's workflow or a camera's profile may be malformed, or unpack to more than Pillow is
willing to hold; the picture is not the worse for it. But damage in the picture itself Pillow passes
over: it leaves the rest black, and does not look at the checksums that would tell.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
APPLES = b"CgBI"
"""What comes first in a PNG that Apple's tools have packed in their own way."""

_SHOWN = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf", b"acTL")
_CHECKED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_ORIENTING = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0", b"Raw profile type APP1\0")
"""Texts that may say which side is up."""
_LONGEST_TEXT = 2**20
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_PASSES = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)
)  # fmt: skip
"""Of an interlaced picture: first column and row, and from one to the next."""
_SIZE_AT = 16
_INDEXED = b"\x03"  # the colour type of pixels that are indices
_PIECE = 2**18


def shown(data: bytes) -> bytes:
    """A PNG file's bytes with only what its picture is made of."""
    kept, start = [], 0
    for kind, at, end in _chunks(data):
        if not (kind in _SHOWN or _is_orienting(kind, data[at + 8 : end - 4])):
            kept.append(data[start:at])
            start = end
    return data if not kept else b"".join([*kept, data[start:]])


def check(data: bytes) -> bool:
    """Hold what a PNG file's picture is made of to its checksums; returns whether its end is there.

    Raises:
        ValueError: It is damaged, or breaks off; says which part.
    """
    if data[12:16] != b"IHDR":
        raise ValueError(
            "is a PNG of Apple's own kind (CgBI), as apps have"
            if data[12:16] == APPLES
            else "is damaged: its first part is no header"
        )
    kind, kinds = b"", set()
    for kind, at, end in _chunks(data):
        kinds.add(kind)
        if end > len(data):
            raise ValueError(f"is damaged: it breaks off in its part {kind.decode('latin-1')}")
        if kind in _CHECKED:
            (wanted,) = struct.unpack_from(">I", data, end - 4)
            if zlib.crc32(memoryview(data)[at + 4 : end - 4]) != wanted:
                raise ValueError(
                    f"is damaged: the checksum of its part {kind.decode()} at byte {at:,} is wrong"
                )
    if data[25:26] == _INDEXED and b"PLTE" not in kinds:
        raise ValueError("is damaged: it has indices of colours, and no colours")
    return kind == b"IEND"


def check_rows(data: bytes) -> None:
    """See that a PNG file, which `check` has found whole, holds as many rows as it says.

    Raises:
        ValueError: Fewer, which decoders fill up with black; or the rows cannot be unpacked.
    """
    unpacking, missing = zlib.decompressobj(), _unpacked_size(data)
    for kind, at, end in _chunks(data):
        packed = data[at + 8 : end - 4] if kind == b"IDAT" else b""
        while packed and missing > 0:
            try:
                missing -= len(unpacking.decompress(packed, _PIECE))
            except zlib.error as error:
                raise ValueError(f"is damaged: its rows cannot be unpacked ({error})") from None
            packed = unpacking.unconsumed_tail
    # What is packed in the last byte may take more than a piece.
    while missing > 0 and (rest := unpacking.decompress(b"", _PIECE)):
        missing -= len(rest)
    if missing > 0:
        raise ValueError("is damaged: its data ends before the picture does")


def check_indices(data: bytes, indices: NDArray[np.uint8]) -> None:
    """See that a PNG file has as many colours as its pixels' indices ask for.

    Args:
        data: Of a file that `check` has found whole.
        indices: [H, W].

    Raises:
        ValueError: Fewer; decoders show the pixels without one as black.
    """
    colours = next((end - 12 - at) // 3 for kind, at, end in _chunks(data) if kind == b"PLTE")
    if (highest := indices.max()) >= colours:
        raise ValueError(f"is damaged: it has a pixel of colour {highest}, and {colours} colours")


def size(data: bytes) -> tuple[int, int]:
    """(width, height) in pixels, as a PNG file's header has it."""
    width, height = struct.unpack_from(">II", data, _SIZE_AT)
    return width, height


def _unpacked_size(data: bytes) -> int:
    width, height = size(data)
    bits, kind, _, _, interlaced = struct.unpack_from(">BBBBB", data, _SIZE_AT + 8)
    total = 0
    for left, top, across, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * bits * _CHANNELS[kind] // 8))
    return total


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The kind of each part, and where it begins and ends."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, at, at + 12 + length
        if kind == b"IEND":
            return
        at += 12 + length


def _is_orienting(kind: bytes, body: bytes) -> bool:
    if kind not in _TEXTS or not body.startswith(_ORIENTING) or len(body) > _LONGEST_TEXT:
        return False
    rest = body.partition(b"\0")[2]
    packed = rest[1:] if kind == b"zTXt" else rest
    if kind == b"iTXt":
        if rest[:1] == b"\0":
            return True
        packed = rest[2:].split(b"\0", 2)[-1]
    elif kind == b"tEXt":
        return True
    try:
        unpacking = zlib.decompressobj()
        unpacking.decompress(packed, _LONGEST_TEXT)
    except zlib.error:
        return False
    return not unpacking.unconsumed_tail
