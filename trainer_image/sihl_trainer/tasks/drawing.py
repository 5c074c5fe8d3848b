"""How pictures draw what several tasks have: colours, captions, outlines, maps."""

from __future__ import annotations

from collections.abc import Sequence
from colorsys import hsv_to_rgb
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw

Color: TypeAlias = "tuple[int, int, int]"
_GOLDEN = 0.61803398875
_INK_LIMIT = 140  # brighter backgrounds are written on in black


def color_of(index: int) -> Color:
    """A colour for the category or object of an index: neighbours differ well."""
    red, green, blue = hsv_to_rgb((index * _GOLDEN) % 1, 0.75, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def caption(
    canvas: Image.Image, text: str, index: int, at: tuple[float, float] = (0, 0)
) -> Image.Image:
    """Text on a background of the index's colour, its top left corner at a point in pixels."""
    draw = ImageDraw.Draw(canvas)
    # The built-in font has no other letters than these.
    text = text.encode("latin-1", "replace").decode("latin-1")
    left, top, right, bottom = draw.textbbox(at, text)
    color = color_of(index)
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), fill=color)
    bright = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > _INK_LIMIT
    draw.text(at, text, fill="black" if bright else "white")
    return canvas


def outlined(
    canvas: Image.Image, corners: Sequence[tuple[float, float]], index: int, text: str = ""
) -> Image.Image:
    """A closed outline in the index's colour, and a caption at its first corner."""
    ImageDraw.Draw(canvas).line([*corners, corners[0]], fill=color_of(index), width=2)
    if text:
        caption(canvas, text, index, corners[0])
    return canvas


def tinted(canvas: Image.Image, colors: np.ndarray, where: np.ndarray) -> Image.Image:
    """A map laid over the image, half and half.

    Args:
        canvas: The image.
        colors: uint8 [H, W, 3].
        where: bool [H, W], the pixels that the map covers.
    """
    pixels = np.array(canvas)
    pixels[where] = pixels[where] // 2 + colors[where] // 2
    return Image.fromarray(pixels)
