"""Masks by filters that each object makes for itself (Tian et al., "CondInst", ECCV 2020).

All objects of an image look at the same few features. What an object's point sees of it becomes
the weights of three 1x1 convolutions, which pick its mask from those features and from where each
cell lies as seen from the point.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sihl_trainer.tasks.dense.points import grid
from sihl_trainer.tasks.dense.tower import tower

CHANNELS = 8
"""Of the mask features, and of the filters' layers."""
_SPLIT = [(CHANNELS + 2) * CHANNELS, CHANNELS, CHANNELS * CHANNELS, CHANNELS, CHANNELS, 1]
WEIGHTS = sum(_SPLIT)
"""Weights and biases of the three layers: 169."""
FINER = 2
"""How many times finer than their level mask features are: cells are taken apart, as by Shi et al.,
"Real-time single image super-resolution using a sub-pixel CNN" (CVPR 2016)."""
REACH = 8
"""Strides of its level that make one unit of distance from a point."""


class DynamicMasks(nn.Module):
    """Mask features of an image, and the filters of its objects.

    Args:
        width: Channels of the features that it is given.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.tower = tower(width)
        self.features = nn.Conv2d(width, CHANNELS * FINER**2, 1)
        self.controller = nn.Linear(width, WEIGHTS)
        nn.init.normal_(self.controller.weight, std=0.01)
        # All objects begin with one set of filters, as any network begins: where three layers of
        # next to nothing are multiplied, no gradient comes through.
        first, _, second, _, third, _ = torch.split(self.controller.bias.detach(), _SPLIT)
        nn.init.zeros_(self.controller.bias)
        for layer, inputs in ((first, CHANNELS + 2), (second, CHANNELS), (third, CHANNELS)):
            nn.init.normal_(layer, std=(2 / inputs) ** 0.5)

    def seen(self, feature: Tensor) -> Tensor:
        """Of a level [B, width, h, w] the mask features, float32 [B, CHANNELS, 2h, 2w]."""
        return F.pixel_shuffle(self.features(self.tower(feature)).float(), FINER)

    def filters(self, regions: Tensor) -> Tensor:
        """Of objects whose points see [..., width]: float32 [..., WEIGHTS].

        In full precision: a filter multiplies distances.
        """
        with torch.autocast(regions.device.type, enabled=False):
            found: Tensor = self.controller(regions.float())
        return found


def masks(
    filters: Tensor, points: Tensor, strides: Tensor, features: Tensor, stride: int
) -> Tensor:
    """What the filters of S objects pick from their image.

    Args:
        filters: float32 [S, WEIGHTS].
        points: float32 [S, 2], xy in pixels.
        strides: float32 [S], of the points' levels.
        features: float32 [CHANNELS, h, w].
        stride: Theirs.

    Returns:
        Logits, float32 [S, h, w].
    """
    count, size = len(filters), features.shape[-2:]
    with torch.autocast(features.device.type, enabled=False):
        parts = torch.split(filters, _SPLIT, -1)
        first, first_bias, second, second_bias, third, third_bias = parts
        first = first.view(count, CHANNELS, CHANNELS + 2)
        # Seen from the point: the cells' places are the same for all, what differs is a bias.
        across = first[..., :2] / (REACH * strides)[:, None, None]
        first_bias = first_bias - (across * points[:, None]).sum(-1)
        first = torch.cat((across, first[..., 2:]), -1).flatten(0, 1)
        seen = torch.cat((grid(size, stride, features.device).T, features.flatten(1)))
        x = F.relu(torch.addmm(first_bias.reshape(-1, 1), first, seen), inplace=True)
        x = x.view(count, CHANNELS, -1)
        second = second.view(count, CHANNELS, CHANNELS)
        x = F.relu(torch.baddbmm(second_bias[..., None], second, x), inplace=True)
        x = torch.baddbmm(third_bias[..., None], third[:, None], x)
    return x.view(count, *size)


def dice(logits: Tensor, truth: Tensor) -> Tensor:
    """[...]: the Dice loss of masks (Milletari et al., "V-Net", 3DV 2016), 0 to 1.

    Args:
        logits: float [..., h, w].
        truth: float [..., h, w] in 0 to 1.
    """
    found = logits.sigmoid()
    shared = (found * truth).sum((-2, -1))
    each = found.square().sum((-2, -1)) + truth.square().sum((-2, -1))
    return 1 - 2 * shared / each.clamp(min=1e-6)
