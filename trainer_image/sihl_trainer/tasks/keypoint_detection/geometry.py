"""Keypoints as areas: the box around those that are seen, and how near others are to them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sihl_trainer.tasks.device import on_device

SIGMA = 0.05
"""Of each keypoint, where COCO has one that was measured: how far people place it apart, as a share
of the square root of its box's area. COCO's seventeen have 0.067 on average, of the square root of
the object's own area, which is some 0.53 of its box's."""
MARGIN = 0.1
"""Of its longer side that a box reaches over its keypoints on each side: objects are larger than
what lies between their keypoints, and keypoints on a line have no area."""
MIN_MARGIN = 1.0
MIN_AREA = 16.0**2
"""Square pixels: smaller objects (a single visible keypoint) are judged as if they were so large,
for nobody places a keypoint better than to a pixel or two."""


def boxes(points: Tensor, visible: Tensor) -> Tensor:
    """float [..., 4], xyxy: around the visible ones of points [..., K, 2], with a margin."""
    shown = visible[..., None]
    low = torch.where(shown, points, torch.inf).amin(-2)
    high = torch.where(shown, points, -torch.inf).amax(-2)
    margin = (MARGIN * (high - low).amax(-1, keepdim=True)).clamp(min=MIN_MARGIN)
    return torch.cat((low - margin, high + margin), -1)


def areas(boxes: Tensor) -> Tensor:
    """float [...]: of boxes [..., 4], at least `MIN_AREA`."""
    left, top, right, bottom = boxes.unbind(-1)
    return ((right - left) * (bottom - top)).clamp(min=MIN_AREA)


def distances(found: Tensor, true: Tensor, area: Tensor, sigmas: Sequence[float]) -> Tensor:
    """float [..., K]: squares of distances of points [..., K, 2], such that OKS is exp of minus it.

    OKS divides by twice (2 sigma)^2 times the area (COCO's evaluation code).
    """
    variance = 2 * (2 * on_device(sigmas, true)).square() * area[..., None]
    return (found - true).square().sum(-1) / variance
