"""From a range of levels to one map: what heads share that say something of every pixel."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from sihl_trainer.tasks.passes import Features

WIDTH = 128
"""Channels of the levels' sum at most."""
STRIDE = 2
"""Of the map, in pixels: strokes of three pixels are lost in a map of every fourth."""
FINEST, COARSEST = 2, 5
"""Levels that a head takes unless told otherwise: finer ones cost most, and say least."""
_GROUP, _MOST_GROUPS = 8, 16  # channels that are normalized together; groups
_LEAST = 32  # channels that are not halved


def map_levels(channels: Mapping[int, int]) -> list[int]:
    """First and last level for a head whose spec names none, of a neck or a backbone alike."""
    first = max(min(FINEST, max(channels)), min(channels))
    return [first, max(first, min(COARSEST, max(channels)))]


class MapTower(nn.Module):
    """Levels summed at the finest of them, as Semantic FPN does it.

    Each is doubled as often as it takes, with a convolution before each time (Kirillov et al.,
    "Panoptic Feature Pyramid Networks", CVPR 2019). The sum is then made finer by sub-pixel
    convolutions (Shi et al., CVPR 2016), each of which halves its channels.

    Args:
        channels: By level, without a gap.

    Attributes:
        width: Channels of the map.
        stride: Of the map, in pixels of the input.
    """

    def __init__(self, channels: Mapping[int, int]) -> None:
        super().__init__()
        self.first = min(channels)
        width = min(WIDTH, channels[self.first])
        self.levels, self.stride = list(channels), 2**self.first
        self.branches = nn.ModuleList(
            self._branch(level, count, width) for level, count in channels.items()
        )
        finer: list[nn.Module] = []
        while self.stride > STRIDE:
            halved = max(min(_LEAST, width), width // 2)
            finer += [nn.ReLU(inplace=True)] if finer else []
            finer += [nn.Conv2d(width, 4 * halved, 3, padding=1), nn.PixelShuffle(2)]
            width, self.stride = halved, self.stride // 2
        self.finer = nn.Sequential(*finer)
        self.width = width

    def _branch(self, level: int, channels: int, width: int) -> nn.Sequential:
        inputs = [channels] + [width] * max(0, level - self.first - 1)
        return nn.Sequential(*(_block(count, width) for count in inputs))

    def forward(self, features: Features) -> Tensor:
        """float [B, width, h, w]: `stride` pixels of the input for each of its own."""
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
        finest: Tensor = self.finer(total)
        return finest


def per_place(inputs: int, outputs: int) -> nn.Conv2d:
    """What says of each place of the map what a head wants: at first as strongly as it is told."""
    layer = nn.Conv2d(inputs, outputs, 1)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def _block(inputs: int, outputs: int) -> nn.Sequential:
    # A group of one channel would be blank in a map of one place.
    groups = math.gcd(outputs, max(1, outputs // _GROUP), _MOST_GROUPS)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.GroupNorm(groups, outputs),
        nn.ReLU(inplace=True),
    )
