"""Passes: the ways in which an image is shown to backbone and neck.

A pass costs one run of both and is shared by all heads that want it. Supervised heads want the
plain one only; what is changed on purpose (a second view, a corruption) is for self-supervised
heads and moves no running statistic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from torch import Tensor

from sihl_trainer.data.draws import Stream, uniform

Features = Mapping[int, Tensor]
"""By level, [B, C_i, H_i, W_i]."""

PATCH = 32
"""Side of a masked patch in pixels: the stride of the backbone's last level."""
MASKED_SHARE = 0.6
PADDING_VALUE = (124.0, 116.0, 104.0)
"""What a masked pixel shows: ImageNet's mean, which normalization turns into zeros."""


class Pass(StrEnum):
    """What is shown."""

    PLAIN = "plain"
    """The image as the loader gives it."""
    SECOND_VIEW = "second view"
    """Another crop of it, in other colours."""
    MASKED = "masked"
    """With most of its patches hidden."""
    BLENDED = "blended"
    """With patches of other images blended in."""


@dataclass(frozen=True, eq=False)
class View:
    """What one pass saw.

    Attributes:
        images: float [B, 3, H, W] in 0 to 255, as they were shown.
        features: Of the neck, or of the backbone where there is none.
        changed: bool [B, H, W], the pixels that the pass hid or blended; None where it did neither.
    """

    images: Tensor
    features: Features
    changed: Tensor | None = None


Views = Mapping[Pass, View]


@dataclass(frozen=True)
class Keys:
    """What the random numbers of a batch are a function of, so that a resumed run draws the same.

    Attributes:
        seed: The job's.
        epochs, indices: Of each of B images.
    """

    seed: int
    epochs: Sequence[int]
    indices: Sequence[int]

    def draw(self, count: int, stream: Stream) -> Tensor:
        """float32 [B, count] in [0, 1)."""
        rows = [
            uniform(count, self.seed, epoch, index, stream)
            for epoch, index in zip(self.epochs, self.indices, strict=True)
        ]
        return torch.from_numpy(np.stack(rows).astype(np.float32))


def shown(which: Pass, images: Tensor, keys: Keys) -> tuple[Tensor, Tensor | None]:
    """The images of a pass, and which pixels it changed.

    Args:
        which: The pass.
        images: uint8 or float [B, 3, H, W] in 0 to 255, the plain ones.
        keys: Of the batch.

    Returns:
        float [B, 3, H, W] in 0 to 255, and bool [B, H, W] or None.
    """
    images = images.float()
    match which:
        case Pass.PLAIN:
            return images, None
        case Pass.MASKED:
            return masked(images, keys)
        case _:
            raise NotImplementedError(which)


def masked(images: Tensor, keys: Keys) -> tuple[Tensor, Tensor]:
    """Images with `MASKED_SHARE` of their patches hidden (Tian et al., "SparK", ICLR 2023)."""
    height, width = images.shape[-2:]
    rows, columns = -(-height // PATCH), -(-width // PATCH)
    draws = keys.draw(rows * columns, Stream.MASK)
    hidden = max(1, round(MASKED_SHARE * rows * columns))
    patches = torch.zeros(draws.shape, dtype=torch.bool)
    patches.scatter_(1, draws.argsort(1)[:, :hidden], True)
    grid = patches.view(-1, rows, columns)
    mask = grid.repeat_interleave(PATCH, 1).repeat_interleave(PATCH, 2)[:, :height, :width]
    mask = mask.to(images.device, non_blocking=True)
    blank = images.new_tensor(PADDING_VALUE).view(1, 3, 1, 1)
    return torch.where(mask[:, None], blank, images), mask
