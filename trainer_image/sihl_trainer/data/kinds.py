"""What a file is that is no image of a kind that is read: by its first bytes, and by its name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from PIL.TiffImagePlugin import ImageFileDirectory_v2

from sihl_trainer.data import jpeg
from sihl_trainer.data.names import is_hidden

_HEAD = 512
_WIDTH_TAG = 256
_SIGNATURES: tuple[tuple[bytes, int, str], ...] = (
    (b"WEBP", 8, "a WebP image"),
    (b"GIF8", 0, "a GIF image"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", 0, "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", 0, "a JPEG 2000 image"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", 0, "a JPEG XL image"),
    (b"\xff\x0a", 0, "a JPEG XL image"),
    (b"8BPS", 0, "a Photoshop file"),
    (b"qoif", 0, "a QOI image"),
    (b"v/1\x01", 0, "an OpenEXR image"),
    (b"\x0a\x05\x01\x08", 0, "a PCX image"),
    (b"%PDF", 0, "a PDF file"),
    (b"DICM", 128, "a DICOM file"),
    (b"\x93NUMPY", 0, "a NumPy array"),
    (b"PK\x03\x04", 0, "a ZIP archive"),
    (b"\x1f\x8b", 0, "a gzip archive"),
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
    b"crx ": "a camera's raw image", b"isom": "an MP4 video", b"mp42": "an MP4 video",
    b"qt  ": "a QuickTime video",
}  # fmt: skip
_TEXTS = (
    (re.compile(rb"\s*<(!DOCTYPE html|html)", re.IGNORECASE), "a web page"),
    (re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<svg", re.DOTALL), "an SVG drawing"),
    (re.compile(rb"\s*(<\?xml[^>]*>\s*)?<Error>"), "a store's error message"),
    (re.compile(rb"P[1-7]\s+[\d#]"), "a Netpbm image"),
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
    ".dng": "a camera's raw image", ".cr2": "a camera's raw image", ".nef": "a camera's raw image",
    ".arw": "a camera's raw image", ".jfif": _RENAMED,
    ".jpe": _RENAMED,
}  # fmt: skip
CONVERT = "convert it to JPEG, PNG or TIFF"
_SHOWN = 40
_LAYOUTS = "1 channel (grey), 3 (RGB) or 4 (RGBA, CMYK) of 8 or 16 bits"


def unread(path: Path) -> str | None:
    """What a file is and what to do: `is a WebP image: convert it ...`; None: nobody knows."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if head[:4] in (b"II*\0", b"MM\0*"):
            return _tiff(file, head)
        if head.startswith(jpeg.SIGNATURE):
            process = jpeg.unread(head + file.read())
            return process and f"is {process}: {CONVERT}"
    if text := _text(head):
        return f"is a text ({text!r}): {_ITSELF}"
    return _told(_kind(head), CONVERT)


def no_document(path: Path) -> str | None:
    """What a file is that is no text, or none that anybody wrote; None: it may be one."""
    with path.open("rb") as file:
        return _told(_kind(file.read(_HEAD)), "write YAML or JSON in its place")


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


def _tiff(file: BinaryIO, head: bytes) -> str | None:
    """How a TIFF's channels lie, which Pillow does not say of one that it does not know."""
    try:
        tags = ImageFileDirectory_v2(head[:8])
        file.seek(tags.next)
        tags.load(file)
        if _WIDTH_TAG not in tags:
            return "is a TIFF that breaks off: upload it again"
        channels, bits = int(tags.get(277, 1)), tags.get(258, (1,))
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, IndexError):
        return None
    number = bits[0] if isinstance(bits, tuple) else bits
    plural = "" if channels == 1 else "s"
    return (
        f"is a TIFF of {channels} channel{plural} of {number} bits; what is read has {_LAYOUTS}: "
        f"{CONVERT} with such"
    )
