"""Towers: the convolutions of a dense head, the same on each of its levels."""

from __future__ import annotations

import math

from torch import nn

CONVOLUTIONS = 2
GROUPS = 8


def tower(width: int) -> nn.Sequential:
    """Convolutions from [B, width, H, W] to the same shape; normalized by group (Wu, He, 2018)."""
    layers: list[nn.Module] = []
    for _ in range(CONVOLUTIONS):
        convolution = nn.Conv2d(width, width, 3, padding=1, bias=False)
        groups = math.gcd(GROUPS, width)
        layers += [convolution, nn.GroupNorm(groups, width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
