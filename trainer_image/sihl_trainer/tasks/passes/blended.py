"""Natural synthetic anomalies: patches from elsewhere, blended in until only they look odd.

Schlüter et al., "Natural Synthetic Anomalies for Self-Supervised Anomaly Detection and
Localization", ECCV 2022. Instead of solving Poisson's equation for each patch, which no GPU does in
a batch, edges are feathered and some patches take on the mean colour of what they cover. Patches
are also turned, as the scars of Li et al., "CutPaste", CVPR 2021, and many are of one colour, as
what that paper compares with (DeVries and Taylor, "Cutout", 2017): of one from the image itself,
so that things are interrupted, or of any, so that something lies on them. What spoils things is
seldom rectangular: half of the patches are ellipses.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from sihl_trainer.data.draws import Stream
from sihl_trainer.tasks.passes.contract import Keys
from sihl_trainer.tasks.passes.sampling import axes, between, columns, evenly_in_ratio, sampled

PATCHES = 4
"""At most, in an image: any number from none on is as likely. Many will not be seen."""
SIDES = (0.04, 0.4)
"""Of a patch, as a share of the image's shorter side: each of its sides by itself."""
ROUND_SHARE = 0.5
RESIZING = (0.7, 1.4)
FEATHER = (0.02, 0.4)
"""Share of a patch, from its edge inwards, where it fades out."""
OPACITY = (0.75, 1.0)
OWN_SHARE = 0.4
"""Of patches that come from another place of the same image; all do where it is alone."""
FLAT_SHARE = 0.4
"""Of patches that have one colour: that of the place where they come from, or, if that is in
another image, any."""
ADAPTED_SHARE = 0.3
CLEAR = 16.0
"""A pixel is changed where a channel, of 0 to 255, differs by so much or more around it.

That is the mean of three by three pixels, so that noise upon noise is no change.
"""
_DRAWS = 18


def blended(images: Tensor, keys: Keys) -> tuple[Tensor, Tensor]:
    """Images with patches blended in, and bool [B, H, W], the pixels that now differ clearly.

    Where, how large and how the patches are follows from each image's own keys. What they show may
    be of the batch's other images, so it depends on which these are.

    Args:
        images: float [B, 3, H, W] in 0 to 255.
        keys: Of the batch.
    """
    draws = columns(keys.draw(1 + PATCHES * _DRAWS, Stream.BLEND), images.device)
    count = (draws[0] * (PATCHES + 1)).floor()
    found = images
    for number in range(PATCHES):
        own = draws[1 + number * _DRAWS : 1 + (number + 1) * _DRAWS]
        found = _with_patch(found, images, own, (number < count).float())
    difference = F.avg_pool2d((found - images).abs().amax(1), 3, 1, 1, count_include_pad=False)
    return found, difference >= CLEAR


def _with_patch(images: Tensor, plain: Tensor, draws: list[Tensor], there: Tensor) -> Tensor:
    """The images with one more patch of the plain ones where `there`, [B, 1, 1], is 1."""
    (width, height, turn, rounded, left, top, feather, opacity,
     from_left, from_top, resizing, own, other, adapted, flat, *color) = draws  # fmt: skip
    x, y = axes(images)
    rows, columns = images.shape[-2:]
    short = min(rows, columns)
    # Pixels from the patch's centre, along its own axes.
    angle = between(0, math.pi, turn)
    dx, dy = (x - left) * columns, (y - top) * rows
    half = [evenly_in_ratio(*SIDES, side) * short / 2 for side in (width, height)]
    along = (dx * angle.cos() + dy * angle.sin()) / half[0]
    across = (dy * angle.cos() - dx * angle.sin()) / half[1]
    fade = between(*FEATHER, feather)
    square = _feathered(along.abs(), fade) * _feathered(across.abs(), fade)
    ellipse = _feathered(torch.hypot(along, across), fade)
    inside = torch.where(rounded < ROUND_SHARE, ellipse, square)
    mask = (inside * there)[:, None]  # [B, 1, H, W]

    is_flat, is_own = flat < FLAT_SHARE, own < OWN_SHARE
    step = torch.where(is_flat, 0.0, 1 / evenly_in_ratio(*RESIZING, resizing))
    source_x = from_left + dx * step / columns
    source_y = from_top + dy * step / rows
    patch = sampled(plain[_sources(is_own, other)], source_x, source_y)
    patch = torch.where((is_flat & ~is_own)[:, None], 255 * torch.stack(color, 1), patch)
    shift = _mean(images, mask) - _mean(patch, mask)
    patch = (patch + torch.where(adapted[..., None] < ADAPTED_SHARE, shift, 0.0)).clamp(0, 255)
    return torch.lerp(images, patch, mask * between(*OPACITY, opacity)[..., None])


def _feathered(distance: Tensor, fade: Tensor) -> Tensor:
    """1 within the patch, 0 from its edge on, of distances in its half sides."""
    return ((1 - distance) / fade).clamp(0, 1)


def _sources(is_own: Tensor, other: Tensor) -> Tensor:
    """Of which image of the batch each one's patch is, int64 [B]."""
    batch = len(is_own)
    number = torch.arange(batch, device=is_own.device)
    steps = 1 + (other.flatten() * (batch - 1)).long().clamp(max=max(0, batch - 2))
    return torch.where(is_own.flatten(), number, (number + steps) % batch)


def _mean(images: Tensor, mask: Tensor) -> Tensor:
    """The mean colour under a mask [B, 1, H, W]: [B, 3, 1, 1]."""
    weight = mask.sum(dim=(2, 3), keepdim=True).clamp(min=1e-6)
    return (images * mask).sum(dim=(2, 3), keepdim=True) / weight
