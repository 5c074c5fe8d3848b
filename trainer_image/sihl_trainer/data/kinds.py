"""What a file is that is no image of a kind that is read: by its first bytes, and by its name."""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from PIL.TiffImagePlugin import COMPRESSION_INFO, ImageFileDirectory_v2

from sihl_trainer.data import jpeg, png
from sihl_trainer.data.names import is_hidden

_HEAD = 1024
_WIDTH_TAG, _BITS_TAG, _PACKING_TAG, _CHANNELS_TAG, _NUMBERS_TAG = 256, 258, 259, 277, 339
_BIG = 43
"""What a BigTIFF's third byte is, if its bytes go upwards; others are not read."""
_RAW = "a camera's raw image"
_DRAWING = "an SVG drawing"
_LINK = "a link to another file"
_SIGNATURES: tuple[tuple[bytes, int, str], ...] = (
    (b"WEBP", 8, "a WebP image"),
    (b"GIF8", 0, "a GIF image"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", 0, "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", 0, "a JPEG 2000 image"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", 0, "a JPEG XL image"),
    (b"\xff\x0a", 0, "a JPEG XL image"),
    (b"8BPS", 0, "a Photoshop file"),
    (b"gimp xcf", 0, "a GIMP file"),
    (b"\x8aMNG\r\n", 0, "an MNG animation"),
    (b"\x8bJNG\r\n", 0, "a JNG image"),
    (b"II\xbc\x01", 0, "a JPEG XR image"),
    (b"MM\0+", 0, "a BigTIFF of big-endian numbers"),
    (b"BPG\xfb", 0, "a BPG image"),
    (b"FLIF", 0, "a FLIF image"),
    (b"DDS ", 0, "a DDS texture"),
    (b"\xabKTX ", 0, "a KTX texture"),
    (b"\0\0\1\0", 0, "an icon (ICO)"),
    (b"icns", 0, "an icon (ICNS)"),
    (b"\x01\xda", 0, "an SGI image"),
    (b"\x59\xa6\x6a\x95", 0, "a Sun raster image"),
    (b"#?RADIANCE", 0, "a Radiance HDR image"),
    (b"#?RGBE", 0, "a Radiance HDR image"),
    (b"AT&TFORM", 0, "a DjVu file"),
    (b"%!PS", 0, "a PostScript file"),
    (b"FUJIFILMCCD-RAW", 0, _RAW),
    (b"IIRO", 0, _RAW),
    (b"IIRS", 0, _RAW),
    (b"MMOR", 0, _RAW),
    (b"IIU\0", 0, _RAW),
    (b"AVI LIST", 8, "an AVI video"),
    (b"\x1aE\xdf\xa3", 0, "a Matroska or WebM video"),
    (b"ZISRAWFILE", 0, "a Zeiss CZI file"),
    (b"\xda\xce\xbe\x0a", 0, "a Nikon ND2 file"),
    (b"\x5c\x01\0\0", 0, "a NIfTI image"),
    (b"n+1\0", 344, "a NIfTI image"),
    (b"MATLAB 5.0", 0, "a MATLAB file"),
    (b"qoif", 0, "a QOI image"),
    (b"v/1\x01", 0, "an OpenEXR image"),
    (b"\x0a\x05\x01\x08", 0, "a PCX image"),
    (b"%PDF", 0, "a PDF file"),
    (b"DICM", 128, "a DICOM file"),
    (b"\x93NUMPY", 0, "a NumPy array"),
    (b"PK\x03\x04", 0, "a ZIP archive"),
    (b"\x1f\x8b", 0, "a gzip archive"),
    (b"BZh", 0, "a bzip2 archive"),
    (b"\xfd7zXZ\0", 0, "an xz archive"),
    (b"\x28\xb5\x2f\xfd", 0, "a Zstandard archive"),
    (b"7z\xbc\xaf\x27\x1c", 0, "a 7-Zip archive"),
    (b"Rar!\x1a", 0, "a RAR archive"),
    (b"ustar", 257, "a tar archive"),
    (b"PAR1", 0, "a Parquet file"),
    (b"SQLite format 3\0", 0, "an SQLite database"),
    (b"\x80\x04\x95", 0, "a Python pickle"),
    (b"bplist00", 0, "a property list"),
    (b"Salted__", 0, "an encrypted file"),
    (b"!<symlink>", 0, _LINK),
    (b"IntxLNK\1", 0, _LINK),
    (b"\x89HDF", 0, "an HDF5 file"),
    (b"SIMPLE  =", 0, "a FITS file"),
    (b"\0\x05\x16\x07", 0, "a macOS resource fork (AppleDouble)"),
    (b"version https://git-lfs.github.com/", 0, "a Git LFS pointer"),
    (b"/annex/objects/", 0, "a git-annex pointer"),
    (b"/9j/4", 0, "an image in Base64"),
    (b"iVBORw0KGgo", 0, "an image in Base64"),
    (b"data:image/", 0, "an image in Base64"),
    ("\xff\xd8\xff".encode(), 0, "an image that was saved as text"),
    ("\x89PNG".encode(), 0, "an image that was saved as text"),
    ("\ufffd\ufffd\ufffd".encode(), 0, "an image that was saved as text"),
    ("\ufffdPNG".encode(), 0, "an image that was saved as text"),
    (b"\x89PNG\n", 0, "an image that was saved as text"),
    (b"\x89PNG\r\r", 0, "an image that was saved as text"),
)
_BRANDS = {
    b"heic": "an HEIC image", b"heix": "an HEIC image", b"heim": "an HEIC image",
    b"hevc": "an HEIC image", b"mif1": "an HEIF image", b"msf1": "an HEIF image",
    b"avif": "an AVIF image", b"avis": "an AVIF image",
    b"crx ": _RAW, b"isom": "an MP4 video", b"mp42": "an MP4 video",
    b"qt  ": "a QuickTime video",
}  # fmt: skip
_PROLOG = rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*"
_TEXTS = (
    (re.compile(_PROLOG + rb"<(!DOCTYPE html|html|head|body|script)", re.I | re.S), "a web page"),
    (re.compile(_PROLOG + rb"(<!DOCTYPE svg[^>]*>\s*)?(<!--.*?-->\s*)*<svg", re.S), _DRAWING),
    (re.compile(_PROLOG + rb"<Error>", re.S), "a store's error message"),
    (re.compile(rb"P[1-7]\s+[\d#]"), "a Netpbm image"),
    (re.compile(rb"P[Ff]\s+\d"), "a PFM image"),
    (re.compile(rb"BM.{4}\0\0\0\0", re.DOTALL), "a BMP image"),
)
_ITSELF = "upload the file itself"
_ADVICE = {
    "a Git LFS pointer": "upload what it points to, which `git lfs pull` brings",
    "a macOS resource fork (AppleDouble)": "remove it",
    "a git-annex pointer": "upload what it points to, which `git annex get` brings",
    "an image in Base64": "decode it",
    "an image that was saved as text": "upload it again, as it was",
    "a web page": _ITSELF,
    "a store's error message": _ITSELF,
    _LINK: "upload what it points to",
    "an encrypted file": "decrypt it",
    "empty": "upload it again",
    "nothing but zeros": "upload it again",
}
_RENAMED = "an image under a name that is not read"
_SUFFIXES = {
    ".webp": "a WebP image", ".bmp": "a BMP image", ".gif": "a GIF image", ".heic": "an HEIC image",
    ".heif": "an HEIF image", ".avif": "an AVIF image", ".jp2": "a JPEG 2000 image",
    ".j2k": "a JPEG 2000 image", ".jxl": "a JPEG XL image", ".psd": "a Photoshop file",
    ".svg": "an SVG drawing", ".dcm": "a DICOM file", ".npy": "a NumPy array",
    ".ppm": "a Netpbm image", ".pgm": "a Netpbm image", ".exr": "an OpenEXR image",
    ".dng": _RAW, ".cr2": _RAW, ".nef": _RAW,
    ".arw": _RAW, ".cr3": _RAW, ".orf": _RAW, ".rw2": _RAW, ".raf": _RAW, ".pbm": "a Netpbm image",
    ".pnm": "a Netpbm image", ".tga": "a TGA image", ".ico": "an icon (ICO)",
    ".hdr": "a Radiance HDR image", ".jxr": "a JPEG XR image", ".jpx": "a JPEG 2000 image",
    ".hif": "an HEIF image", ".czi": "a Zeiss CZI file", ".nd2": "a Nikon ND2 file",
    ".mp4": "an MP4 video", ".mov": "a QuickTime video", ".avi": "an AVI video",
    ".jfif": _RENAMED, ".jpe": _RENAMED, ".pjpeg": _RENAMED, ".pjp": _RENAMED,
}  # fmt: skip
CONVERT = "convert it to JPEG, PNG or TIFF"
_BEHIND = ((jpeg.SIGNATURE, "a JPEG"), (png.SIGNATURE, "a PNG"))
_SHOWN = 40
_NUMBERS = {2: "with a sign", 3: "in floating point", 5: "complex", 6: "complex"}
"""By a TIFF's word for them; without any they are whole and have none."""
_PACKINGS = {
    33003: "JPEG 2000", 33004: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000",
    34887: "LERC", 34892: "lossy JPEG", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
_KNOWN_PACKINGS = COMPRESSION_INFO.keys() - _PACKINGS.keys()
_LAYOUTS = "1 channel (grey), 3 (RGB) or 4 (RGBA, CMYK) of 8 or 16 bits, whole numbers"
_REPACK = "save it with deflate or LZW, or none"


def unread(path: Path) -> str | None:
    """What a file is and what to do: `is a WebP image: convert it ...`; None: nobody knows."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if head[:4] in (b"II*\0", b"MM\0*", b"II+\0"):
            return _tiff(file, head)
        if head.startswith(jpeg.SIGNATURE):
            process = jpeg.unread(head + file.read())
            return process and f"is {process}: {CONVERT}"
        if head.startswith(png.SIGNATURE):
            return _png(head + file.read())
    plain = _plain(head)
    if text := _text(plain):
        return f"is a text ({text!r}): {_ITSELF}"
    return _told(_kind(plain), CONVERT) or _behind(head)


def is_packed_otherwise(tags: ImageFileDirectory_v2) -> bool:
    """Whether a TIFF's first page is compressed as none is read here."""
    return int(tags.get(_PACKING_TAG, 1)) not in _KNOWN_PACKINGS


def no_document(path: Path) -> str | None:
    """What a file is that is no text, or none that anybody wrote; None: it may be one."""
    with path.open("rb") as file:
        return _told(_kind(_plain(file.read(_HEAD))), "write YAML or JSON in its place")


def unread_by_name(name: str) -> str:
    """The same, for a file of which only the name is known."""
    suffix = Path(name).suffix.lower()
    kind = _SUFFIXES.get(suffix)
    if kind == _RENAMED:
        return f"is {kind}: rename it to end in .jpg"
    if kind is None:
        what = f"ends in {suffix}" if suffix else "has no suffix"
        return f"{what}, which is not that of a JPEG, PNG or TIFF image: rename or convert it"
    return f"is {kind}, which is not read: {CONVERT}"


def is_unread_image(name: str) -> bool:
    """Whether a name's suffix is that of an image of a kind that is not read."""
    return Path(name).suffix.lower() in _SUFFIXES and not is_hidden(name)


def others_told(files: Iterable[str]) -> str:
    """What files of which only the names are known are: the first, and how many more."""
    found = sorted(file for file in files if not is_hidden(file))
    if not found:
        return ""
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{found[0]!r}{more} {unread_by_name(found[0])}"


def _told(kind: str | None, otherwise: str) -> str | None:
    if kind and kind.endswith(" archive"):
        otherwise = "unpack it" if otherwise == CONVERT else f"unpack it, or {otherwise}"
    return kind and f"is {kind}: {_ADVICE.get(kind, otherwise)}"


def _text(head: bytes) -> str | None:
    """The beginning of a text that is of no kind with a name."""
    try:
        text = head[:_SHOWN].decode()
    except UnicodeDecodeError:
        return None
    is_text = bool(text) and all(each.isprintable() or each.isspace() for each in text)
    return " ".join(text.split()) if is_text and _kind(head) is None else None


def _kind(head: bytes) -> str | None:
    if not head.strip(b"\0"):
        return "nothing but zeros" if head else "empty"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "a video or image of a kind that is not read")
    for signature, at, kind in _SIGNATURES:
        if head.startswith(signature, at):
            return kind
    return next((kind for pattern, kind in _TEXTS if pattern.match(head)), None)


def _plain(head: bytes) -> bytes:
    """The beginning of a file as UTF-8 without its mark, if it is a text of Unicode with one."""
    if head.startswith(codecs.BOM_UTF8):
        return head[len(codecs.BOM_UTF8) :]
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return head.decode("utf-16", "ignore").encode(errors="ignore")
    return head


def _behind(head: bytes) -> str | None:
    for mark, kind in _BEHIND:
        if (at := head.find(mark)) > 0:
            return f"is {kind} behind {at} bytes of something else: upload it as it was"
    return None


def _png(data: bytes) -> str | None:
    try:
        png.check(data)
    except ValueError as error:
        return f"{error}: {CONVERT if png.APPLES in data[:16] else 'upload it again'}"
    return None if all(png.size(data)) else "is a PNG without a pixel: remove it"


def _tiff(file: BinaryIO, head: bytes) -> str | None:
    """How a TIFF's pixels lie, which Pillow does not say of one that it does not know."""
    try:
        tags = ImageFileDirectory_v2(head[:16] if head[2] == _BIG else head[:8])
        file.seek(tags.next)
        tags.load(file)
        if _WIDTH_TAG not in tags:
            return "is a TIFF that breaks off: upload it again"
        channels, bits = int(tags.get(_CHANNELS_TAG, 1)), tags.get(_BITS_TAG, (1,))
        packing, numbers = int(tags.get(_PACKING_TAG, 1)), tags.get(_NUMBERS_TAG, (1,))
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, IndexError, struct.error):
        return None
    if packing not in _KNOWN_PACKINGS:
        how = _PACKINGS.get(packing, f"number {packing}")
        return f"is a TIFF with compression of a kind that is not read ({how}): {_REPACK}"
    number, numbers = (each[0] if isinstance(each, tuple) else each for each in (bits, numbers))
    plural = "" if channels == 1 else "s"
    kind = f" {_NUMBERS[numbers]}" if numbers in _NUMBERS else ""
    return (
        f"is a TIFF of {channels} channel{plural} of {number} bits{kind}; what is read has "
        f"{_LAYOUTS}: {CONVERT} with such"
    )
