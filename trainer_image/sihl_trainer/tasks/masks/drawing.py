"""Objects drawn by their masks."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sihl_trainer.tasks.drawing import caption, color_of, tinted


def drawn(canvas: Image.Image, objects: Iterable[tuple[Tensor, Tensor, str]]) -> Image.Image:
    """Each object in a colour of its own, outlined and named; the first lies on top.

    Args:
        canvas: The image.
        objects: A box [4] in pixels of the image, the mask [h, w] within it, and a caption.
    """
    listed = [(box.tolist(), mask.bool().numpy(), text) for box, mask, text in objects]
    colors = np.zeros((canvas.height, canvas.width, 3), np.uint8)
    inside = np.zeros((canvas.height, canvas.width), bool)
    edges = np.zeros_like(inside)
    for index, ((left, top, right, bottom), mask, _) in reversed(list(enumerate(listed))):
        window = slice(top, bottom), slice(left, right)
        colors[window][mask] = color_of(index)
        inside[window] |= mask
        edges[window] = np.where(mask, border(mask), edges[window])
    canvas = outlined_map(tinted(canvas, colors, inside), colors, edges)
    for index, ((left, top, _, _), _, text) in reversed(list(enumerate(listed))):
        caption(canvas, text, index, (left, top))
    return canvas


def outlined_map(
    canvas: Image.Image, colors: NDArray[np.uint8], edges: NDArray[np.bool_]
) -> Image.Image:
    """The image with the pixels of `edges` in full colour."""
    pixels = np.array(canvas)
    pixels[edges] = colors[edges]
    return Image.fromarray(pixels)


def border(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask [h, w] that have one beside them that is not of it."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.asarray(mask & ~inner)
