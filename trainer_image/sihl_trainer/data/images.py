"""Image files as RGB: JPEG, PNG, TIFF; 8 or 16 bits; grey, colour, palette, with or without alpha.

An image is what a viewer shows: its EXIF orientation is applied, and annotations are in pixels of
the upright image. 16-bit values are scaled to 8 bits over their whole range, alpha is dropped, of
a file with several pages the first counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageEnhance, UnidentifiedImageError

from sihl_trainer.errors import BadData

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


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """An image file, header read, to be decoded within the context.

    Raises:
        BadData: Not an image, of another format than its suffixes allow, truncated, or with too
            many pixels; names the file. Raised for decoding within the context as well.
    """
    try:
        with Image.open(path, formats=_FORMATS) as image:
            yield image
    except Image.DecompressionBombError:
        raise _unreadable(path, f"has more than {MAX_PIXELS:,} pixels") from None
    except FileNotFoundError:
        raise _unreadable(path, "is missing") from None
    except UnidentifiedImageError:
        raise _unreadable(path, "is not a JPEG, PNG or TIFF image that can be read") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise _unreadable(path, f"cannot be decoded ({error})") from None


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
    if size and image.format == "JPEG":
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


def decode_fully(path: Path) -> tuple[int, int]:
    """Decode every pixel of a file, so that damage anywhere in it is found.

    Returns:
        (width, height) in pixels of the upright image.

    Raises:
        BadData: As `opened`.
    """
    with opened(path) as image:
        size = upright_size(image)
        _rgb(image)
        return size


def _orientation(image: Image.Image) -> int:
    # TIFF is turned by Pillow as it is decoded, and twice if its EXIF data is read before.
    return 1 if image.format == "TIFF" else image.getexif().get(_ORIENTATION_TAG, 1)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("its values are floating-point numbers; 8 or 16 bits are read")
    if image.mode.startswith("I"):  # 16 bits, in whatever byte order, or "I" for more, or signed
        values = np.asarray(image)
        least, most = int(values.min()), int(values.max())
        if least < 0 or most > 65535:
            raise ValueError(
                f"its values go from {least} to {most}; 8 or 16 bits without sign are read"
            )
        return Image.fromarray((values / 257).round().astype(np.uint8)).convert("RGB")
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")


def _unreadable(path: Path, what: str) -> BadData:
    return BadData(
        "DatasetImageUnreadable",
        f"{path.parent.name}/{path.name} {what}: replace the file, or remove it and what "
        "annotates it",
    )
