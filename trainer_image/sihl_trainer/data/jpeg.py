"""Damage in a JPEG file that its decoder passes over in silence.

libjpeg draws something whatever it meets: where bytes are lost or overwritten it goes on at the
wrong place of the stream, fills up with grey what it cannot read, and says so nowhere that Pillow
shows. But it then comes to the end of the picture before the end of the stream, or the other way
round, and that can be seen when it is fed by hand. Streams of several scans (progressive ones) are
read to their end by any decoder; in these a hole of zeros is looked for, which no encoder writes,
and a scan that ends before its part of the picture: more bytes at its end would change that.
"""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass, field

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

SIGNATURE = b"\xff\xd8\xff"
END = b"\xff\xd9"

_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), (0xC2,)
_FRAMES = (*_SEQUENTIAL, *_PROGRESSIVE)
_UNREAD = {
    **dict.fromkeys((0xC3, 0xC7, 0xCB, 0xCF), "a lossless JPEG"),
    **dict.fromkeys((0xC5, 0xC6, 0xCD, 0xCE), "a hierarchical JPEG"),
    **dict.fromkeys((0xC9, 0xCA), "a JPEG of arithmetic coding, in which damage cannot be seen"),
    0xF7: "a JPEG-LS image",
}
"""Processes that no decoder here knows, or none can check, by the frame's marker."""
_ALONE = (0x01, *range(0xD0, 0xDA))
"""Markers that no segment follows."""
_BETWEEN_SCANS = (*_FRAMES, 0xC4, 0xCC, *range(0xDA, 0xF0), 0xFE)
"""Markers that may follow a scan."""
_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
_HOLE = bytes(64)
_LEFT = 32
"""Bytes at a stream's end before which no picture can be whole; encoders pad with less than one."""
_FILL = b"\xff\x00" * 8
"""What a decoder reads ahead, as bits that stand for nothing: it looks at 64."""
_MORE = bytes(range(1, 255, 7))
"""Bits of no pattern, without a marker."""
_DAMAGED = "is damaged: {}, so that part of the picture is lost"


@dataclass(frozen=True)
class _Scan:
    """Components by number, first and last coefficient, whether bits are whole; its bytes."""

    components: tuple[int, ...]
    first: int
    last: int
    refined: bool
    start: int
    end: int


@dataclass
class _Layout:
    """What the segments of a file say.

    Attributes:
        frame: Its marker.
        size: (width, height) in pixels, as stored.
        sampling: Of each component by number, across and down.
        interval: Units between restart markers; 0: there are none.
        ended: Whether the end marker is there.
    """

    frame: int = 0
    size: tuple[int, int] = (0, 0)
    sampling: dict[int, tuple[int, int]] = field(default_factory=dict)
    interval: int = 0
    scans: list[_Scan] = field(default_factory=list)
    ended: bool = False


def unread(data: bytes) -> str | None:
    """What kind of JPEG a file is, where it is one that is not read."""
    at = 2
    while at + 5 <= len(data) and data[at] == 0xFF and (marker := data[at + 1]) != 0xDA:
        if marker in _UNREAD:
            return _UNREAD[marker]
        if marker in _FRAMES:
            if (bits := data[at + 4]) != 8:
                return f"a JPEG of {bits} bits a channel"
            return None if any(data[at + 5 : at + 7]) else "a JPEG that does not tell its height"
        if marker == 0xFF or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


def check(data: bytes) -> bool:
    """Decode a JPEG file to its end; returns whether its end marker is there.

    Raises:
        ValueError: The file is damaged; says where.
        OSError: As Pillow, which found it damaged.
    """
    layout = _layout(data)
    image = Image.open(io.BytesIO(data + END), formats=("JPEG",))
    if not layout.scans:
        raise ValueError(_DAMAGED.format("it has no picture data"))
    if layout.frame in _SEQUENTIAL and len(layout.scans) == 1:
        _fed(image, data, layout.scans[0])
        _check_restarts(data, layout, layout.scans[0])
    else:
        image.load()
        _check_scans(data, layout)
        _check_lengths(image, data, layout)
    return layout.ended


def _fed(image: Image.Image, data: bytes, scan: _Scan) -> None:
    """Decode an image, and see that its stream ends with it."""
    assert isinstance(image, JpegImageFile)
    end = scan.end - (data[scan.end - 1] == 0xFF)
    before = max(scan.start, _padded_from(data, scan) - _LEFT)
    image.load_prepare()
    ((name, extents, _, arguments),) = image.tile
    decoder = Image._getdecoder(image.mode, name, arguments, image.decoderconfig)
    try:
        decoder.setimage(image.im, extents)
        used, error = decoder.decode(data[:before])
        if error == 0 and used >= 0:
            rest = data[used:before] + data[before:end] + _FILL
            used, error = decoder.decode(rest)
            if error == 0 and used >= 0:
                raise ValueError(_DAMAGED.format("its data ends before the picture does"))
        elif error == 0:
            raise ValueError(_DAMAGED.format("its picture ends before the data does"))
    finally:
        decoder.cleanup()
    if error < 0:
        raise ValueError(_DAMAGED.format("its data cannot be decoded"))


def _check_restarts(data: bytes, layout: _Layout, scan: _Scan) -> None:
    """Each restart marker must be there: from one to the next, damage is hidden."""
    width, height = layout.size
    if not layout.interval or not height:
        return
    across, down = (max(pair[axis] for pair in layout.sampling.values()) for axis in (0, 1))
    unit = (8, 8) if len(scan.components) == 1 else (8 * across, 8 * down)
    units = -(-width // unit[0]) * -(-height // unit[1])
    found = [mark[0] - 0xD0 for mark in _RESTART.findall(data[scan.start : scan.end])]
    wanted = [number % 8 for number in range(-(-units // layout.interval) - 1)]
    if found[: len(wanted)] != wanted:
        raise ValueError(_DAMAGED.format("restart markers are missing from its data"))


def _check_scans(data: bytes, layout: _Layout) -> None:
    for scan in layout.scans:
        # A flat picture's first coefficients may be nothing but zeros, and no others.
        if scan.first > 0 and data.find(_HOLE, scan.start, _padded_from(data, scan)) >= 0:
            raise ValueError(_DAMAGED.format("there is a hole of zeros in its data"))
    if layout.ended:
        return
    whole = {
        (component, coefficient)
        for scan in layout.scans
        if scan.refined
        for component in scan.components
        for coefficient in range(scan.first, scan.last + 1)
    }
    if len(whole) < 64 * len(layout.sampling):
        raise ValueError(_DAMAGED.format("its data ends before the picture does"))


def _check_lengths(image: Image.Image, data: bytes, layout: _Layout) -> None:
    """What stands behind the last unit of a whole scan is read by nobody."""
    parts, at = [], 0
    for scan in layout.scans:
        end = scan.start + len(data[scan.start : scan.end].rstrip(b"\xff"))
        parts += [data[at:end], _MORE]
        at = end
    longer = Image.open(io.BytesIO(b"".join([*parts, data[at:], END])), formats=("JPEG",))
    if longer.tobytes() != image.tobytes():
        raise ValueError(_DAMAGED.format("one of its scans ends before the picture does"))


def _padded_from(data: bytes, scan: _Scan) -> int:
    """Where a scan's bytes end but for zeros, with which some cameras pad them."""
    return scan.start + len(data[scan.start : scan.end].rstrip(b"\0\xff"))


def _layout(data: bytes) -> _Layout:
    """Walk the segments.

    Raises:
        ValueError: A scan is followed by what is no marker of these.
    """
    layout, at = _Layout(), 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            if layout.scans:
                break  # what stands after a scan and is no segment is nobody's
            at += 1
            continue
        marker = data[at + 1]
        if marker == 0xD9:
            break
        if marker == 0xFF or marker in range(0xD0, 0xD9) or marker == 0x01:
            at += 1 if marker == 0xFF else 2
            continue
        if layout.scans and marker not in _BETWEEN_SCANS:
            raise ValueError(_DAMAGED.format("its data is torn"))
        length = struct.unpack_from(">H", data, at + 2)[0]
        body = data[at + 4 : at + 2 + length]
        at += 2 + length
        if marker in _FRAMES and len(body) >= 6:
            layout.frame = marker
            layout.size = (int.from_bytes(body[3:5]), int.from_bytes(body[1:3]))
            parts = (body[6 + 3 * part : 9 + 3 * part] for part in range(body[5]))
            layout.sampling = {p[0]: (p[1] >> 4, p[1] & 15) for p in parts if len(p) == 3}
        elif marker == 0xDD and len(body) >= 2:
            layout.interval = int.from_bytes(body[:2])
        elif marker == 0xDA and body:
            found = _SCAN_END.search(data, at)
            end = found.start() if found else len(data)
            layout.scans.append(_scan(body, at, end))
            at = end
    layout.ended = data[at : at + 2] == END
    return layout


def _scan(body: bytes, start: int, end: int) -> _Scan:
    count = body[0]
    components = tuple(body[1 : 1 + 2 * count : 2])
    first, last, bits = (*body[1 + 2 * count : 4 + 2 * count], 0, 63, 0)[:3]
    return _Scan(components, first, last, bits & 15 == 0, start, end)
