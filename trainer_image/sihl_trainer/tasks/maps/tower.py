"""From a range of levels to one map: what heads share that say something of every pixel."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from sihl_trainer.tasks.passes import Features

WIDTH = 128
"""Channels of the map at most."""
FINEST, COARSEST = 2, 5
"""Levels that a head takes unless told otherwise: finer ones cost most, and say least."""
_GROUPS = 16


def map_levels(channels: Mapping[int, int]) -> list[int]:
    """First and last level for a head whose spec names none, of a neck or a backbone alike."""
    first = max(min(FINEST, max(channels)), min(channels))
    return [first, max(first, min(COARSEST, max(channels)))]


class MapTower(nn.Module):
    """Levels summed at the finest of them, as Semantic FPN does it.

    Each is doubled as often as it takes, with a convolution before each time (Kirillov et al.,
    "Panoptic Feature Pyramid Networks", CVPR 2019).

    Args:
        channels: By level, without a gap.

    Attributes:
        width: Channels of the map.
        stride: Of the map, in pixels of the input.
    """

    def __init__(self, channels: Mapping[int, int]) -> None:
        super().__init__()
        self.first = min(channels)
        self.stride = 2**self.first
        self.width = min(WIDTH, channels[self.first])
        self.levels = list(channels)
        self.branches = nn.ModuleList(
            self._branch(level, count) for level, count in channels.items()
        )

    def _branch(self, level: int, channels: int) -> nn.Sequential:
        inputs = [channels] + [self.width] * max(0, level - self.first - 1)
        return nn.Sequential(*(_block(count, self.width) for count in inputs))

    def forward(self, features: Features) -> Tensor:
        """float [B, width, H_first, W_first] of the levels' features."""
        total = features[self.first].new_zeros(())
        for level, branch in zip(self.levels, self.branches, strict=True):
            value = features[level]
            for block in branch.children():
                value = block(value)
                if level > self.first:
                    level -= 1
                    size = features[level].shape[-2:]
                    value = F.interpolate(value, size, mode="bilinear", align_corners=False)
            total = total + value
        return total


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.GroupNorm(math.gcd(_GROUPS, outputs), outputs),
        nn.ReLU(inplace=True),
    )
