"""Depth estimation: a sigmoid over the logarithm of the range.

Learnt by the scale-invariant logarithmic error (Eigen et al., "Depth Map Prediction from a Single
Image", NeurIPS 2014) and by its gradients at several scales (Li and Snavely, "MegaDepth", CVPR
2018), on pixels whose depth is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.depth_estimation.annotations import DepthInfo
from sihl_trainer.tasks.depth_estimation.metric import DepthAccuracy, DepthPrediction
from sihl_trainer.tasks.depth_estimation.target import DepthTarget
from sihl_trainer.tasks.device import of_images
from sihl_trainer.tasks.head import Head, Loss
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.maps.tower import MapTower, map_levels, per_place
from sihl_trainer.tasks.passes import Pass, View, Views
from sihl_trainer.tasks.target import Target

SCALE_SHARE = 0.85
"""How much of a factor that is wrong for a whole image is forgiven."""
GRADIENT_WEIGHT = 0.5
GRADIENT_SCALES = 4
_SMALLEST = 1e-6  # of the farthest depth, where the range begins at 0
_UNIFORM = 12**-0.5  # the deviation of what is uniform in [0, 1]


class DepthEstimation(Head):
    """A distance for each pixel."""

    task = Task.DEPTH_ESTIMATION

    def __init__(self, config: HeadConfig, channels: Mapping[int, int]) -> None:
        super().__init__(config, channels)
        self.nearest, self.farthest = map(float, config.settings["range"])
        self.tower = MapTower({level: channels[level] for level in self.levels})
        self.depth = per_place(self.tower.width, 1)

    @classmethod
    def settings(cls, info: HeadInfo) -> dict[str, Any]:
        """The range of depths, and what a step of the maps is that predictions are written in."""
        assert isinstance(info, DepthInfo)
        return {"range": [info.nearest, info.farthest], "scale": info.scale}

    @classmethod
    def default_levels(cls, channels: Mapping[int, int], has_neck: bool) -> list[int]:  # noqa: ARG003
        """The second to the fifth, as far as they are there."""
        return map_levels(channels)

    def _depths(self, view: View) -> Tensor:
        """float32 [B, H, W], within the range; of depths in half precision neighbours are one."""
        features = self.tower(view.features)
        with torch.autocast(features.device.type, enabled=False):
            values = self.depth(features.float())
            whole = F.interpolate(
                values, scale_factor=self.tower.stride, mode="bilinear", align_corners=False
            )
            height, width = view.images.shape[-2:]
            share = whole[:, 0, :height, :width].sigmoid()
            if self.nearest > 0:
                depths = self.nearest * (share * math.log(self.farthest / self.nearest)).exp()
            else:
                depths = self.farthest * share.clamp(min=_SMALLEST)
            return depths

    def loss(self, views: Views, targets: Sequence[Target | None]) -> dict[str, Loss]:
        """Scale-invariant error, and that of its gradients, over images with known pixels.

        Both in units of what is expected of knowing nothing.
        """
        depths = self._depths(views[Pass.PLAIN])
        rows = [i for i, target in enumerate(targets) if isinstance(target, DepthTarget)]
        known = [t for t in targets if isinstance(t, DepthTarget)]
        true = torch.zeros(0, *depths.shape[-2:])
        if known:
            true = torch.stack([target.steps * target.scale for target in known])
        true = true.to(depths.device, non_blocking=True)
        depths = of_images(depths, rows)
        valid = true > 0
        error = torch.where(valid, depths.log() - torch.where(valid, true, 1.0).log(), 0.0)
        error = error / self._deviation
        amount = valid.flatten(1).any(1).sum().float()
        return {
            "silog": Loss(_scale_invariant(error, valid).sum(), amount),
            "gradient": Loss(GRADIENT_WEIGHT * _gradients(error, valid).sum(), amount),
        }

    @property
    def _deviation(self) -> float:
        """Of the logarithm, where the head's share is uniform: nothing is known."""
        return _UNIFORM * math.log(self.farthest / self.nearest) if self.nearest > 0 else 1.0

    def predict(self, view: View) -> list[DepthPrediction]:
        """The distance of each pixel."""
        return [DepthPrediction(depth) for depth in self._depths(view).cpu()]

    def metric(self) -> DepthAccuracy:
        """Errors relative, squared and logarithmic, and the share of pixels nearly right."""
        return DepthAccuracy()


def _scale_invariant(error: Tensor, valid: Tensor) -> Tensor:
    """Of errors [B, H, W] of the logarithm, 0 where not valid: the root for each image, [B]."""
    count = valid.sum((1, 2)).clamp(min=1)
    mean = error.sum((1, 2)) / count
    square = error.square().sum((1, 2)) / count
    # The root has no gradient at 0; without any pixel there is nothing.
    root = (square - SCALE_SHARE * mean.square()).clamp(min=1e-8).sqrt()
    return torch.where(valid.flatten(1).any(1), root, 0.0)


def _gradients(error: Tensor, valid: Tensor) -> Tensor:
    """How much errors of neighbours differ, the mean of each image's pairs and of scales: [B]."""
    total = error.sum((1, 2)) * 0
    for scale in range(GRADIENT_SCALES):
        part, known = error[:, :: 2**scale, :: 2**scale], valid[:, :: 2**scale, :: 2**scale]
        for axis in (1, 2):
            length = part.shape[axis] - 1
            if length < 1:
                continue
            pairs = known.narrow(axis, 0, length) & known.narrow(axis, 1, length)
            steps = torch.where(pairs, part.diff(dim=axis).abs(), 0.0)
            total = total + steps.sum((1, 2)) / pairs.sum((1, 2)).clamp(min=1)
    return total / GRADIENT_SCALES


HEAD = DepthEstimation
