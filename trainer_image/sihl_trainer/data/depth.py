"""Pictures of 16 bits a channel, as 8.

Cameras and microscopes fill 10, 12 or 14 of a file's 16 bits, and few files say how many. So the
whole range is that of the fewest bits, of 8, 10, 12, 14 and 16, that hold the picture's greatest
value: 12 bits in 16 are as bright as they were seen. White-is-zero is turned round.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

DEPTHS = (8, 10, 12, 14, 16)
_PHOTOMETRIC_TAG = 262
_BITS_TAG, _PLANES_TAG = 258, 284
_IN_PLANES = 2
_WHITE_IS_ZERO = 0
_LOW = {";16B": ";16L", ";16L": ";16B", ";16N": ";16B" if sys.byteorder == "little" else ";16L"}
"""Pillow keeps a colour channel's high byte; read in the other byte order, it keeps the low one."""
_GREY_ALPHA = "LA;16B"
_STORED = "sihl-stored"


class Scaled(NamedTuple):
    """A picture of 8 bits, and how many of its 16 were in use."""

    image: Image.Image
    bits: int


def grey(image: Image.Image) -> Scaled:
    """An opened picture of one number a pixel, as mode L; LA where one value is transparent.

    Raises:
        ValueError: Its values do not fit into 16 bits without a sign.
    """
    white_is_zero = (
        isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO
    )
    values = np.asarray(image)
    least, most = int(values.min()), int(values.max())
    if least < 0 or most > 65535:
        raise ValueError(
            f"its values go from {least} to {most}; 8 or 16 bits without sign are read"
        )
    bits = _depth(most)
    shown = _table(bits, inverted=white_is_zero)[values]
    found = Image.fromarray(shown)
    if isinstance(key := image.info.get("transparency"), int):
        found = Image.merge("LA", (found, Image.fromarray(np.uint8(255) * (values != key))))
    return Scaled(found, bits)


def remember(image: Image.Image, source: BinaryIO) -> None:
    """Keep how a file that is just opened stores its pixels: Pillow forgets it as it decodes."""
    assert isinstance(image, ImageFile)
    image.info[_STORED] = source, tuple(image.tile)


def is_deep(image: Image.Image) -> bool:
    """Whether an opened picture in colour, or of grey with alpha, has 16 bits a channel."""
    return any(_rawmode(tile)[-4:] in _LOW for tile in image.info[_STORED][1])


def is_in_planes(image: Image.Image) -> bool:
    """Whether an opened picture has channels of 16 bits one behind the other.

    Pillow takes the bytes of these for pixels, or one of two for nothing.
    """
    return (
        isinstance(image, TiffImageFile)
        and max(image.tag_v2.get(_BITS_TAG, (1,))) > DEPTHS[0]
        and len(image.getbands()) > 1
        and image.tag_v2.get(_PLANES_TAG) == _IN_PLANES
    )


def colour(image: Image.Image) -> Scaled:
    """An opened picture that `is_deep`, as 8 bits of the same mode; alpha is of all 16 bits."""
    source, tiles = image.info[_STORED]
    image.load()
    colours = min(3, len(image.getbands()))
    high = np.asarray(image)
    if image.mode == "CMYK" or int(high[..., :colours].max()) >= 1 << DEPTHS[-2] - 8:
        return Scaled(image, DEPTHS[-1])
    values = high[..., :colours].astype(np.uint16) << 8
    values |= _low_bytes(source, tiles)[..., :colours]
    bits = _depth(int(values.max()))
    scaled = np.concatenate([_table(bits, inverted=False)[values], high[..., colours:]], -1)
    return Scaled(Image.fromarray(scaled), bits)


def _low_bytes(source: BinaryIO, tiles: tuple[Any, ...]) -> NDArray[np.uint8]:
    source.seek(0)
    with Image.open(source) as again:
        assert isinstance(again, ImageFile)
        if _rawmode(tiles[0]) == _GREY_ALPHA:  # four bytes a pixel are taken as four channels
            again._mode = "RGBA"
            again.tile = [tile._replace(args="RGBA") for tile in tiles]
            return np.asarray(again)[..., (1, 1, 1, 3)]
        again.tile = [_in_other_order(tile) for tile in tiles]
        return np.asarray(again)


def _rawmode(tile: Any) -> str:
    return str(tile[3] if isinstance(tile[3], str) else tile[3][0])


def _in_other_order(tile: Any) -> Any:
    raw = _rawmode(tile)
    other = raw[:-4] + _LOW[raw[-4:]]
    return tile._replace(args=other if isinstance(tile[3], str) else (other, *tile[3][1:]))


def _depth(most: int) -> int:
    return next(bits for bits in DEPTHS if most < 1 << bits)


@lru_cache(maxsize=2 * len(DEPTHS))
def _table(bits: int, *, inverted: bool) -> NDArray[np.uint8]:
    """What each value of 16 bits is in 8, uint8 [65536]."""
    shown = (np.arange(1 << 16) * (255 / ((1 << bits) - 1))).round().clip(max=255)
    return np.asarray((255 - shown if inverted else shown).astype(np.uint8))
