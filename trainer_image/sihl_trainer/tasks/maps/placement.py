"""Maps that follow their image: nearest values only, because no two of them have a mean."""

from __future__ import annotations

import torch
from torch import Tensor

from sihl_trainer.data.letterbox import Letterboxing


def resized(values: Tensor, size: tuple[int, int]) -> Tensor:
    """[..., h, w] -> [..., height, width]: each pixel takes the value that its centre hits.

    torch's interpolation takes floats, which a map of many pixels would become for nothing.
    """
    height, width = values.shape[-2:]
    rows = ((torch.arange(size[1]) + 0.5) * (height / size[1])).long().clamp(max=height - 1)
    columns = ((torch.arange(size[0]) + 0.5) * (width / size[0])).long().clamp(max=width - 1)
    return values[..., rows[:, None], columns]


def placed(values: Tensor, fit: Letterboxing, padding: int = 0) -> Tensor:
    """[h, w] of a map that covers its image, of whatever size -> [H, W] of the canvas.

    Args:
        values: The map.
        fit: How the image is letterboxed.
        padding: What the map says of the canvas around the image.
    """
    canvas = values.new_full((fit.canvas[1], fit.canvas[0]), padding)
    left, top = fit.placement.left, fit.placement.top
    canvas[top : top + fit.size[1], left : left + fit.size[0]] = resized(values, fit.size)
    return canvas


def restored(values: Tensor, size: tuple[int, int], fit: Letterboxing) -> Tensor:
    """[H, W] of a map of the canvas -> [height, width] of the original, of `size` (width, height).

    Args:
        values: The map.
        size: The original's.
        fit: How the original is letterboxed.
    """
    left, top = fit.placement.left, fit.placement.top
    return resized(values[top : top + fit.size[1], left : left + fit.size[0]], size)
