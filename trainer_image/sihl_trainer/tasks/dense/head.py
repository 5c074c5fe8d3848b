"""What all dense heads have: scores at each point, learnt by the quality focal loss.

Li et al., "Generalized Focal Loss", NeurIPS 2020: a score is taught how good its point's shape is,
and hard scores count most.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sihl_api.record import HeadConfig
from sihl_trainer.tasks.dense.limit import limit, limit_of
from sihl_trainer.tasks.dense.points import grid
from sihl_trainer.tasks.dense.tower import tower
from sihl_trainer.tasks.head import Head
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.passes import Features

_PRIOR = 0.01


@dataclass(frozen=True, eq=False)
class Level:
    """One of a head's levels.

    Attributes:
        number: Its place among the head's.
        stride: Pixels between points.
        feature: float [B, C, H, W].
        points: float [H * W, 2], in pixels.
    """

    number: int
    stride: int
    feature: Tensor
    points: Tensor


class DenseHead(Head):
    """A score for each category at each point of a range of levels, with shared weights.

    Subclasses add what else a point says: a shape, whose size is learnt in strides, times a factor
    that each level has for itself (`scale`).

    Args:
        config: The head's.
        channels: Of the levels that are there; all of the head's levels have as many.
        categories: How many there are.
    """

    def __init__(self, config: HeadConfig, channels: Mapping[int, int], categories: int) -> None:
        super().__init__(config, channels)
        self.most = limit_of(config.settings)
        self.width = channels[self.levels[0]]
        self.score_tower = tower(self.width)
        # At first nearly everything is background: start from that (RetinaNet, section 3.3).
        self.score = predictor(self.width, [-math.log((1 - _PRIOR) / _PRIOR)] * categories)
        self.scale = nn.Parameter(torch.ones(len(self.levels)))

    @classmethod
    def settings(cls, info: HeadInfo) -> dict[str, Any]:
        """Categories, and how many objects of an image are predicted."""
        return super().settings(info) | limit(info)

    @classmethod
    def default_levels(cls, channels: Mapping[int, int], has_neck: bool) -> list[int]:
        """All of the neck's levels, or the backbone's fourth."""
        if has_neck:
            return [min(channels), max(channels)]
        level = min(4, max(channels))
        return [level, level]

    def dense_levels(self, features: Features) -> Iterator[Level]:
        """The head's levels, finest first."""
        for number, level in enumerate(self.levels):
            stride, feature = 2**level, features[level]
            points = grid(feature.shape[-2:], stride, feature.device)
            yield Level(number, stride, feature, points)

    def logits(self, level: Level) -> Tensor:
        """Scores as logits, float32 [B, H * W, C]."""
        return flat(self.score(self.score_tower(level.feature)))

    def input_size(self, features: Features) -> tuple[int, int]:
        """(width, height) of the input in pixels."""
        level = self.levels[0]
        height, width = (side * 2**level for side in features[level].shape[-2:])
        return width, height


def predictor(width: int, bias: Sequence[float]) -> nn.Conv2d:
    """A convolution to as many channels as there are biases, which it gives nearly alone at first.

    So weak that in the beginning every point says about the same.
    """
    layer = nn.Conv2d(width, len(bias), 3, padding=1)
    nn.init.normal_(layer.weight, std=0.01)
    assert layer.bias is not None
    with torch.no_grad():
        layer.bias.copy_(torch.tensor(bias))
    return layer


def flat(map_: Tensor) -> Tensor:
    """float32 [B, H * W, C] of a map [B, C, H, W]: shapes and losses want all digits."""
    return map_.float().flatten(2).transpose(1, 2)


def quality_focal_loss(logits: Tensor, scores: Tensor) -> Tensor:
    """The sum over all points and categories, a scalar.

    Args:
        logits: float [B, P, C].
        scores: float [B, P, C] in [0, 1], what they shall be.
    """
    error = (scores - logits.sigmoid()).detach().square()
    entropy = F.binary_cross_entropy_with_logits(logits, scores, reduction="none")
    return (error * entropy).sum()


def padded(values: Sequence[Tensor], device: torch.device) -> Tensor:
    """[B, M, ...] on a device: [N_i, ...] of each image, with zeros up to the most that one has.

    From the host: where they lay on the device, each would be waited for by itself.
    """
    most = max(len(each) for each in values)
    whole = values[0].new_zeros((len(values), most, *values[0].shape[1:]))
    for row, each in zip(whole, values, strict=True):
        row[: len(each)] = each
    return whole.to(device, non_blocking=True)
