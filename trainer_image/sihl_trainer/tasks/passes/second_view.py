"""Another view of the same thing: another crop, in other colours.

The changes of Chen et al., "SimCLR", ICML 2020, with larger crops, since small images are no
photographs of a room, and without blur or changes of hue: in industry and medicine the hue often
is what tells two things apart. So that colours alone do not tell two views to be of one image,
half of the second views are grey, as there a fifth. Mirrored is what the job may mirror.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sihl_trainer.data.draws import Stream
from sihl_trainer.tasks.device import on_device
from sihl_trainer.tasks.passes.contract import Keys
from sihl_trainer.tasks.passes.sampling import axes, between, columns, evenly_in_ratio, sampled

AREA = (0.5, 1.0)
ASPECT = (3 / 4, 4 / 3)
JITTER = 0.4
GREY_SHARE = 0.5
MIRRORED_SHARE = 0.5
_DRAWS = 9
_LUMA = (0.299, 0.587, 0.114)


def second_view(images: Tensor, keys: Keys) -> Tensor:
    """A second view of images float [B, 3, H, W] in 0 to 255, of the same size.

    The crop is one of the canvas: where an image was letterboxed, padding may be in it.
    """
    draws = columns(keys.draw(_DRAWS, Stream.SECOND_VIEW), images.device)
    return recoloured(cropped(images, draws[:5], keys.mirror), draws[5:])


def cropped(images: Tensor, draws: list[Tensor], mirrored: bool) -> Tensor:
    """A random part of each, scaled to the whole, by draws of area, aspect, place and mirroring.

    Args:
        images: float [B, C, H, W].
        draws: Five, float [B, 1, 1] each.
        mirrored: Whether some are.
    """
    area, ratio, left, top, mirror = draws
    area, ratio = between(*AREA, area), evenly_in_ratio(*ASPECT, ratio)
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    x, y = axes(images)
    if mirrored:
        x = torch.where(mirror < MIRRORED_SHARE, 1 - x, x)
    x, y = (1 - width) * left + width * x, (1 - height) * top + height * y
    return sampled(images, x, y)


def recoloured(images: Tensor, draws: list[Tensor]) -> Tensor:
    """In other brightness, contrast and saturation, or grey, by a draw of each."""
    factors = [between(1 - JITTER, 1 + JITTER, draw)[..., None] for draw in draws[:3]]
    brightness, contrast, saturation = factors
    images = images * brightness
    mean = luma(images).mean(dim=(2, 3), keepdim=True)
    images = mean + (images - mean) * contrast
    saturation = torch.where(draws[3][..., None] < GREY_SHARE, 0.0, saturation)
    grey = luma(images)
    return (grey + (images - grey) * saturation).clamp(0, 255)


def luma(images: Tensor) -> Tensor:
    """[B, 1, H, W]."""
    weights = on_device(_LUMA, images).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)
