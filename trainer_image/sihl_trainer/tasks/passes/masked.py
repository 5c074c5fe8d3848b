"""Images of which most patches are hidden: Tian et al., "SparK", ICLR 2023."""

from __future__ import annotations

import torch
from torch import Tensor

from sihl_trainer.data.draws import Stream
from sihl_trainer.data.letterbox import PADDING
from sihl_trainer.tasks.device import on_device
from sihl_trainer.tasks.passes.contract import Keys

PATCH = 32
"""Side of a patch in pixels: the stride of the backbone's last level."""
FEWEST = 4
"""Of patches along the shorter side: in smaller images patches are smaller, by halves."""
SHARE = 0.6


def patch_side(height: int, width: int) -> int:
    """Of the patches of images of a size, in pixels: 32 from 128 on, 16 from 64, 8 from 32."""
    side = PATCH
    while side > 1 and FEWEST * side > min(height, width):
        side //= 2
    return side


def masked(images: Tensor, keys: Keys) -> tuple[Tensor, Tensor]:
    """Images float [B, 3, H, W] with `SHARE` of their patches hidden; bool [B, H, W], which pixels.

    A hidden pixel shows ImageNet's mean, which normalization turns into zeros.
    """
    height, width = images.shape[-2:]
    side = patch_side(height, width)
    rows, columns = -(-height // side), -(-width // side)
    draws = keys.draw(rows * columns, Stream.MASK)
    hidden = max(1, round(SHARE * rows * columns))
    patches = torch.zeros(draws.shape, dtype=torch.bool)
    patches.scatter_(1, draws.argsort(dim=1, stable=True)[:, :hidden], True)
    grid = patches.view(-1, rows, columns)
    mask = grid.repeat_interleave(side, 1).repeat_interleave(side, 2)[:, :height, :width]
    mask = mask.to(images.device, non_blocking=True)
    blank = on_device([float(value) for value in PADDING], images).view(1, 3, 1, 1)
    return torch.where(mask[:, None], blank, images), mask
