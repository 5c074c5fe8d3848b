"""Image files as RGB: JPEG, PNG, TIFF; 8 or 16 bits; grey, colour, palette, with or without alpha.

An image is what a viewer shows: its EXIF orientation is applied, and annotations are in pixels of
the upright image; what is transparent is seen on white; of a file with several pages the first
counts. `depth` says how 16 bits are scaled.
"""

from __future__ import annotations

import errno
import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageEnhance, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from sihl_trainer.data import depth, jpeg, kinds, png
from sihl_trainer.errors import BadData, TrainerError

if TYPE_CHECKING:
    from torch import Tensor

MAX_PIXELS = 250_000_000
"""A file of a few kilobytes can declare billions of pixels; the largest real ones have fewer."""
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow raises at twice this number

_FORMATS = ("JPEG", "PNG", "TIFF")
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation."""
_EXCHANGING = (5, 6, 7, 8)  # orientations that exchange width and height
_DRAFT_MARGIN = 2  # decode to at least twice the wanted size before resampling
_JPEGS = ("JPEG", "MPO")  # the second is a camera's JPEG with previews behind it
_CHANNELS_TAG = 277
_KIND_OF_PAGE_TAG = 254
_SIGN_TAG = 339
_SMALLER = 1  # the bit of a page that shows another one at a lower resolution
_ALPHA_MODES = ("RGBA", "LA", "PA")
_WHITE = (255, 255, 255)
_TRANSPARENT = "transparent in part: shown on white, as viewers do"
_NO_END = "no end marker: its last pixels may be missing"
_PAGES = "several pages, of which the first is read"
_PREVIEW = "several pages, of which the first, a preview of another, is read: put the picture first"
_BROKEN_PAGES = "pages behind the first that cannot be read: the first is"
_CHANNELS = "{} channels, of which {} are shown"
_DEPTH = "16 bits, of which {} are in use: scaled from 0 to {}, not to 65535"
_MALFORMED = (OSError, SyntaxError, ValueError, EOFError, KeyError, TypeError, struct.error)
"""What Pillow raises of files that are not as they should be."""
_DISK = (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.ENOMEM)
"""Errors that are none of the file's."""


class Decoded(NamedTuple):
    """A file that was decoded to its last pixel.

    Args:
        size: (width, height) in pixels of the upright image.
        remarks: What of it is not shown as it is stored, in phrases.
    """

    size: tuple[int, int]
    remarks: tuple[str, ...] = ()


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """An image file, header read, to be decoded within the context.

    Raises:
        BadData: Not an image, of another format than its suffixes allow, truncated, or with too
            many pixels; names the file. Raised for decoding within the context as well.
        TrainerError: The disk does not give what it holds.
    """
    with _told(path), _source(path) as source, Image.open(source, formats=_FORMATS) as image:
        if isinstance(image, TiffImageFile) and kinds.is_packed_otherwise(image.tag_v2):
            raise UnidentifiedImageError
        depth.remember(image, source)
        yield image


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) of an opened image in pixels, after its orientation is applied."""
    width, height = image.size
    return (height, width) if _orientation(image) in _EXCHANGING else (width, height)


def pixels(
    image: Image.Image, size: tuple[int, int] | None = None, brightness: float = 1.0
) -> Tensor:
    """An opened image, upright, resampled (bilinear, antialiased) to `size` (width, height).

    Args:
        image: As `opened` gives it.
        size: None keeps the image's own.
        brightness: What each value is multiplied by.

    Returns:
        uint8 [3, height, width], RGB.
    """
    import torch  # not at the top: see `targets`
    from torch.nn.functional import interpolate

    orientation = _orientation(image)
    if size and image.format in _JPEGS:
        assert isinstance(image, JpegImageFile)
        # libjpeg decodes at 1/2, 1/4 or 1/8 for a fraction of the time; what is left is resampled.
        # Sides that this does not divide are rounded up: by less than half a pixel of the result.
        width, height = size[::-1] if orientation in _EXCHANGING else size
        image.draft(None, (width * _DRAFT_MARGIN, height * _DRAFT_MARGIN))
    upright = _rgb(image)
    if orientation in _UPRIGHT:
        upright = upright.transpose(_UPRIGHT[orientation])
    if brightness != 1.0:
        upright = ImageEnhance.Brightness(upright).enhance(brightness)
    result = torch.from_numpy(np.array(upright)).permute(2, 0, 1)
    if size and size != upright.size:
        # Twice to three times as fast as Pillow's, and the same to within one of 255.
        result = interpolate(result[None], size[::-1], mode="bilinear", antialias=True)[0]
    return result


def decode_fully(path: Path) -> Decoded:
    """Decode every pixel of a file, so that damage anywhere in it is found.

    Raises:
        BadData: As `opened`; JPEG and PNG are read more closely than there.
    """
    with opened(path) as image:
        is_ended = _check(image, path)
        size, remarks = upright_size(image), list(_dropped(image))
        if image.format not in _JPEGS:
            _rgb(image, remarks)
    return Decoded(size, tuple(remarks if is_ended else [*remarks, _NO_END]))


def _check(image: Image.Image, path: Path) -> bool:
    """Look for damage and for kinds that decoders pass over; returns whether a file has its end."""
    if image.format == "TIFF":
        return True
    data = path.read_bytes()
    if image.format == "PNG":
        is_ended = png.check(data)
        png.check_rows(data)
        if image.mode == "P":
            png.check_indices(data, np.asarray(image))
        return is_ended
    if jpeg.unread(data):
        raise UnidentifiedImageError
    return jpeg.check(data)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What goes wrong with a file, by its name."""
    try:
        yield
    except Image.DecompressionBombError:
        raise _unreadable(path, f"has more than {MAX_PIXELS:,} pixels") from None
    except FileNotFoundError:
        raise _unreadable(path, "is missing") from None
    except UnidentifiedImageError:
        if told := kinds.unread(path):
            raise BadData(
                "DatasetImageUnreadable", f"{path.parent.name}/{path.name} {told}"
            ) from None
        raise _unreadable(path, "is not a JPEG, PNG or TIFF image that can be read") from None
    except _MALFORMED as error:
        if isinstance(error, OSError) and error.errno in _DISK:
            text = f"{path.parent.name}/{path.name} cannot be read ({error.strerror})"
            raise TrainerError("DatasetUnreadable", f"{text}: look at the node's disk") from None
        raise _unreadable(path, _told_of(error)) from None


def _told_of(error: Exception) -> str:
    text = str(error)
    if text.startswith("decoder error"):
        return "is damaged: its data cannot be unpacked"
    return text if text.startswith("is ") else f"cannot be decoded ({text})"


@contextmanager
def _source(path: Path) -> Iterator[BinaryIO]:
    """A file as Pillow is to read it: with its end, without what is no part of the picture.

    Never a path: of a file that has one Pillow maps grey TIFFs into memory, and takes those that
    are to be turned by a quarter for as wide as they are then.
    """
    with path.open("rb") as file:
        head = file.read(len(png.SIGNATURE))
        if head.startswith(jpeg.SIGNATURE):
            yield io.BytesIO(head + file.read() + jpeg.END)
        elif head == png.SIGNATURE:
            yield io.BytesIO(png.shown(head + file.read()))
        else:
            file.seek(0)
            yield file


def _orientation(image: Image.Image) -> int:
    # TIFF is turned by Pillow as it is decoded, and twice if its EXIF data is read before.
    if image.format == "TIFF":
        return 1
    if image.format == "PNG":
        image.load()  # EXIF data may stand behind the picture, whose faults are not that data's
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except _MALFORMED:
        return 1  # who cannot read it cannot turn it: viewers show the image as it is stored


def _dropped(image: Image.Image) -> Iterator[str]:
    """What of an opened file is not read at all."""
    if isinstance(image, TiffImageFile):
        channels, shown = int(image.tag_v2.get(_CHANNELS_TAG, 1)), len(image.getbands())
        if channels > shown:
            yield _CHANNELS.format(channels, shown)
        yield from _dropped_pages(image)
    elif getattr(image, "is_animated", False) and image.format not in _JPEGS:
        yield _PAGES


def _dropped_pages(image: TiffImageFile) -> Iterator[str]:
    try:
        count = image.n_frames
        smaller = sum(_is_smaller(image, page) for page in range(1, count))
        is_preview = count > 1 and _is_smaller(image, 0)
    except _MALFORMED:
        yield _BROKEN_PAGES
    else:
        if is_preview:
            yield _PREVIEW
        elif smaller < count - 1:
            yield _PAGES
    finally:
        image.seek(0)


def _has_sign(image: Image.Image) -> bool:
    return isinstance(image, TiffImageFile) and image.tag_v2.get(_SIGN_TAG) in (2, (2,))


def _is_smaller(image: TiffImageFile, page: int) -> bool:
    image.seek(page)
    return bool(int(image.tag_v2.get(_KIND_OF_PAGE_TAG, 0)) & _SMALLER)


def _rgb(image: Image.Image, remarks: list[str] | None = None) -> Image.Image:
    """An opened image, not yet upright; adds to the remarks what it is shown otherwise than."""
    if image.mode == "F":
        raise ValueError("its values are floating-point numbers; 8 or 16 bits are read")
    if image.mode == "L" and _has_sign(image):
        raise ValueError("its values have a sign; 8 or 16 bits without one are read")
    if depth.is_in_planes(image):
        raise ValueError(
            "its channels of 16 bits lie in planes, one behind the other; 16 bits are read where "
            "the channels of a pixel lie together"
        )
    if image.mode.startswith("I") or depth.is_deep(image):
        # In whatever byte order; "I" is for 32 bits, or a sign.
        grey = image.mode.startswith("I")
        image, bits = depth.grey(image) if grey else depth.colour(image)
        if remarks is not None and bits < depth.DEPTHS[-1]:
            remarks.append(_DEPTH.format(bits, (1 << bits) - 1))
    image.load()
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        shown = image if image.mode == "RGBA" else image.convert("RGBA")
        alpha = shown.getchannel("A")
        if alpha.getextrema() != (255, 255):
            if remarks is not None:
                remarks.append(_TRANSPARENT)
            composed = Image.new("RGB", shown.size, _WHITE)
            composed.paste(shown, mask=alpha)
            return composed
        return shown.convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _unreadable(path: Path, what: str) -> BadData:
    return BadData(
        "DatasetImageUnreadable",
        f"{path.parent.name}/{path.name} {what}: replace the file, or remove it and what "
        "annotates it",
    )
