"""Letterbox: an image scaled and padded to a fixed size, never distorted, never cropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

PADDING = (124, 116, 104)
"""Colour of the padding: ImageNet's mean, which normalization turns into zeros."""


@dataclass(frozen=True)
class Placement:
    """Where an image lies in the canvas: canvas = image * scale + offset, axis by axis, in pixels.

    The two scales differ only by the rounding of the image's new size to whole pixels.
    """

    scale_x: float = 1.0
    scale_y: float = 1.0
    left: int = 0
    top: int = 0

    def apply(self, boxes: Tensor) -> Tensor:
        """Boxes [..., 4] (xyxy) or points [..., 2] (xy) of the image, in the canvas."""
        pairs = boxes.shape[-1] // 2
        scale = boxes.new_tensor([self.scale_x, self.scale_y] * pairs)
        return boxes * scale + boxes.new_tensor([self.left, self.top] * pairs)

    def invert(self, boxes: Tensor) -> Tensor:
        """Boxes [..., 4] (xyxy) or points [..., 2] (xy) of the canvas, in the original image."""
        pairs = boxes.shape[-1] // 2
        scale = boxes.new_tensor([self.scale_x, self.scale_y] * pairs)
        return (boxes - boxes.new_tensor([self.left, self.top] * pairs)) / scale


@dataclass(frozen=True)
class Letterboxing:
    """Sizes (width, height) of an image in its canvas and of the canvas; its placement there."""

    size: tuple[int, int]
    placement: Placement
    canvas: tuple[int, int]


def letterboxing(
    image: tuple[int, int],
    canvas: tuple[int, int],
    *,
    enlarge: bool = True,
    shrink: float = 1.0,
    position: tuple[float, float] = (0.5, 0.5),
) -> Letterboxing:
    """How an image is fitted into a canvas; sizes are (width, height) in pixels.

    Args:
        image: Size of the image.
        canvas: Size of the input.
        enlarge: Scale the image up to the canvas; False only pads an image that fits, and still
            scales down one that does not, because it may not be cropped.
        shrink: Further factor, in (0, 1].
        position: Share of the padding that goes left of and above the image.
    """
    fit = min(canvas[0] / image[0], canvas[1] / image[1])
    scale = (fit if enlarge else min(1.0, fit)) * shrink
    width, height = (
        min(limit, max(1, round(side * scale))) for side, limit in zip(image, canvas, strict=True)
    )
    left = round((canvas[0] - width) * position[0])
    top = round((canvas[1] - height) * position[1])
    placement = Placement(width / image[0], height / image[1], left, top)
    return Letterboxing((width, height), placement, canvas)
