"""PNG files without what no viewer shows: texts, colour profiles, times.

A generator's workflow or a camera's profile may be malformed, or unpack to more than Pillow is
willing to hold; the picture is not the worse for it.
"""

from __future__ import annotations

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_SHOWN = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf", b"acTL")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_ORIENTING = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0", b"Raw profile type APP1\0")
"""Texts that may say which side is up."""
_LONGEST_TEXT = 2**20


def shown(data: bytes) -> bytes:
    """A PNG file's bytes with only what its picture is made of."""
    kept, at, start = [], len(SIGNATURE), 0
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if not (kind in _SHOWN or _is_orienting(kind, data[at + 8 : end - 4])):
            kept.append(data[start:at])
            start = end
        if kind == b"IEND":
            break
        at = end
    return data if not kept else b"".join([*kept, data[start:]])


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
