"""PNG files without what no viewer shows: texts, colour profiles, times; and damage in them.

A generator's workflow or a camera's profile may be malformed, or unpack to more than Pillow is
willing to hold; the picture is not the worse for it. But damage in the picture itself Pillow passes
over: it leaves the rest black, and does not look at the checksums that would tell.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_SHOWN = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf", b"acTL")
_CHECKED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_ORIENTING = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0", b"Raw profile type APP1\0")
"""Texts that may say which side is up."""
_LONGEST_TEXT = 2**20


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
    kind = b""
    for kind, at, end in _chunks(data):
        if end > len(data):
            raise ValueError(f"is damaged: it breaks off in its part {kind.decode('latin-1')}")
        if kind in _CHECKED:
            (wanted,) = struct.unpack_from(">I", data, end - 4)
            if zlib.crc32(memoryview(data)[at + 4 : end - 4]) != wanted:
                raise ValueError(
                    f"is damaged: the checksum of its part {kind.decode()} at byte {at:,} is wrong"
                )
    return kind == b"IEND"


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
