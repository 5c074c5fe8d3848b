"""Image files that Pillow cannot write: of 16 bits, of many channels, with odd parts."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np


def chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG file."""
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


def png_of_rows(
    width: int, height: int, rows: bytes, bits: int = 8, kind: int = 2, palette: bytes = b""
) -> bytes:
    """A PNG with such a header (bits, colour type) and these rows, filters included."""
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    if palette:
        parts.insert(1, (b"PLTE", palette))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def indexed(colours: Sequence[tuple[int, int, int]], row: Sequence[int]) -> bytes:
    """A PNG of one row of indices of colours."""
    palette = b"".join(map(bytes, colours))
    return png_of_rows(len(row), 1, bytes([0, *row]), kind=3, palette=palette)


def deep_png(picture: np.ndarray) -> bytes:
    """A PNG of uint16 [h, w] or [h, w, 2 to 4]."""
    height, width, channels = np.atleast_3d(picture).shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in picture)
    return png_of_rows(width, height, rows, bits=16, kind=kind)


def deep_tiff(
    *pages: np.ndarray, photometric: int = 1, tags_too: dict[int, int] | None = None
) -> bytes:
    """An uncompressed TIFF of uint8 or uint16 [h, w] or [h, w, c]; what is beyond RGB is spare.

    Tags of one number are added to those of each page, or replace them.
    """
    file = b"II*\0" + struct.pack("<I", 8)
    for number, page in enumerate(pages, start=1):
        height, width, channels = np.atleast_3d(page).shape
        spare = channels - (3 if channels > 2 else 1)
        bits = struct.pack("<H", page.dtype.itemsize * 8) * channels
        tags = {
            256: (4, 1, width), 257: (4, 1, height), 258: (3, channels, bits), 259: (3, 1, 1),
            262: (3, 1, 2 if channels > 2 else photometric), 273: (4, 1, 0), 277: (3, 1, channels),
            278: (4, 1, height), 279: (4, 1, page.nbytes),
        }  # fmt: skip
        if spare:
            tags[338] = (3, spare, struct.pack("<H", 0) * spare)
        tags |= {tag: (3, 1, value) for tag, value in (tags_too or {}).items()}
        after = len(file) + 2 + 12 * len(tags) + 4
        data_at = after + sum(
            len(value) + len(value) % 2
            for *_, value in tags.values()
            if isinstance(value, bytes) and len(value) > 4
        )
        entries, extra = struct.pack("<H", len(tags)), b""
        for tag, (kind, count, value) in sorted(tags.items()):
            raw = (
                struct.pack("<I", data_at if tag == 273 else value)
                if isinstance(value, int)
                else value
            )
            if len(raw) > 4:
                place = struct.pack("<I", after + len(extra))
                extra, raw = extra + raw + b"\0" * (len(raw) % 2), place
            entries += struct.pack("<HHI", tag, kind, count) + raw.ljust(4, b"\0")
        end = data_at + page.nbytes + page.nbytes % 2
        entries += struct.pack("<I", end if number < len(pages) else 0)
        file += entries + extra + np.ascontiguousarray(page).tobytes() + b"\0" * (page.nbytes % 2)
    return file
