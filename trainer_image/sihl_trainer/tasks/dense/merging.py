"""One map of a range of levels: what heads decode that say something of every pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from sihl_trainer.tasks.dense.tower import tower
from sihl_trainer.tasks.passes import Features


class Merging(nn.Module):
    """Levels made alike in width, brought to the finest one's size, summed, and mixed.

    What is mixed is added to the sum: normalization by group alone would take away how bright or
    strong things are.

    Args:
        channels: By level.
        levels: Which of them, the finest first.
        width: Of the map.
    """

    def __init__(self, channels: Mapping[int, int], levels: Sequence[int], width: int) -> None:
        super().__init__()
        self.levels = list(levels)
        self.lateral = nn.ModuleList(nn.Conv2d(channels[level], width, 1) for level in levels)
        self.mixing = tower(width)

    def forward(self, features: Features) -> Tensor:
        """[B, width, H, W], of the finest level's size."""
        size = features[self.levels[0]].shape[-2:]
        total: Tensor = self.lateral[0](features[self.levels[0]])
        for level, lateral in zip(self.levels[1:], self.lateral[1:], strict=True):
            coarse = lateral(features[level])
            total = total + F.interpolate(coarse, size, mode="bilinear", align_corners=False)
        mixed: Tensor = self.mixing(total)
        return total + mixed


def fine_levels(channels: Mapping[int, int], has_neck: bool) -> list[int]:
    """First and last level for such a head: all of a neck's, or a backbone's from stride 4 on."""
    return [min(channels) if has_neck else min(2, max(channels)), max(channels)]
