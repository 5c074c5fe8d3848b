"""Quadrilateral detection: anchor-free and dense on a range of levels, with shared weights.

Each point says where an object's four corners lie, as offsets in strides. Nothing tells which
corner is the first, so the loss is the least over the four that could be (Qian et al., "RSDet:
Learning modulated loss for rotated object detection", AAAI 2021): a prediction may start anywhere.
Its other part is the GIoU of the boxes around (Rezatofighi et al., CVPR 2019). Which points learn
an object is decided by `assignment`, by the IoU of those boxes, among the points within the outline
itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.dense.assignment import Objects, assign
from sihl_trainer.tasks.dense.head import DenseHead, flat, padded, predictor, quality_focal_loss
from sihl_trainer.tasks.dense.limit import USUAL
from sihl_trainer.tasks.dense.overlap import giou_loss
from sihl_trainer.tasks.dense.suppression import candidates
from sihl_trainer.tasks.dense.tower import tower
from sihl_trainer.tasks.device import of_images
from sihl_trainer.tasks.head import Loss
from sihl_trainer.tasks.measures.geometry import quadrilateral_iou
from sihl_trainer.tasks.passes import Features, Pass, View, Views
from sihl_trainer.tasks.quadrilateral_detection.geometry import areas, hulls, inside, simple
from sihl_trainer.tasks.quadrilateral_detection.metric import (
    QuadrilateralPrecision,
    QuadrilateralsPrediction,
)
from sihl_trainer.tasks.quadrilateral_detection.target import QuadrilateralsTarget
from sihl_trainer.tasks.target import Target

CORNER_WEIGHT = 5.0
HULL_WEIGHT = 1.0
NMS_IOU = 0.5
_BLOCK = 16
"""Detections that are compared with the rest at a time."""
_BEGIN = ((-2.0, -2.0), (2.0, -2.0), (2.0, 2.0), (-2.0, 2.0))
"""Corners in strides before anything is learnt: a square, clockwise as targets are."""
_SMOOTH = 0.05
"""Of an object's size: errors below it count by their squares."""
_MIN_AREA = 4.0
"""Square pixels, by whose root errors are divided at least."""


@dataclass(frozen=True, eq=False)
class Quadrilaterals(Objects):
    """Quadrilaterals of a batch.

    Attributes:
        corners: float [B, M, 4, 2], in pixels.
    """

    corners: Tensor

    def inside(self, points: Tensor) -> Tensor:
        """bool [B, M, P]: within the outline."""
        return inside(points, self.corners)


class QuadrilateralDetection(DenseHead):
    """Quadrilaterals with categories."""

    task = Task.QUADRILATERAL_DETECTION

    def __init__(self, config: HeadConfig, channels: Mapping[int, int]) -> None:
        super().__init__(config, channels, len(config.settings["categories"]))
        self.categories = list(config.settings["categories"])
        self.corner_tower = tower(self.width)
        self.corner = predictor(self.width, [side for corner in _BEGIN for side in corner])

    def _dense(self, features: Features) -> tuple[Tensor, Tensor, Tensor]:
        """Scores as logits [B, P, C], corners [B, P, 4, 2] in pixels, points [P, 2] in pixels."""
        logits, corners, points = [], [], []
        for level in self.dense_levels(features):
            said = self.corner(self.corner_tower(level.feature)) * self.scale[level.number]
            offsets = flat(said) * level.stride
            corners.append(level.points[:, None] + offsets.view(*offsets.shape[:2], 4, 2))
            logits.append(self.logits(level))
            points.append(level.points)
        return torch.cat(logits, 1), torch.cat(corners, 1), torch.cat(points)

    def loss(self, views: Views, targets: Sequence[Target | None]) -> dict[str, Loss]:
        """Quality focal loss of the scores; of shapes, corners and hulls, by the weight of points.

        Over annotated images.
        """
        logits, corners, points = self._dense(views[Pass.PLAIN].features)
        rows = [i for i, target in enumerate(targets) if isinstance(target, QuadrilateralsTarget)]
        if not rows:
            none = logits.new_zeros(())
            return {
                "classification": Loss(logits.sum() * 0, none),
                "quadrilateral": Loss(corners.sum() * 0, none),
            }
        logits, corners = of_images(logits, rows), of_images(corners, rows)
        known = [target for target in targets if isinstance(target, QuadrilateralsTarget)]
        truth = _objects(known, logits.device)
        around = hulls(corners)
        found = assign(logits.detach().sigmoid(), around.detach(), points, truth)
        amount = found.weight.sum()
        apart = CORNER_WEIGHT * corner_loss(corners, found.own(truth.corners))
        apart = apart + HULL_WEIGHT * giou_loss(around, found.boxes)
        # Background points have no shape: whatever their loss, even NaN, it counts for nothing.
        apart = torch.where(found.weight > 0, apart * found.weight, 0.0)
        return {
            "classification": Loss(quality_focal_loss(logits, found.scores), amount),
            "quadrilateral": Loss(apart.sum(), amount),
        }

    def predict(self, view: View) -> list[QuadrilateralsPrediction]:
        """Detections after non-maximum suppression by category, within the input."""
        logits, corners, _ = self._dense(view.features)
        limit = corners.new_tensor(self.input_size(view.features))
        corners = corners.clamp(min=0).minimum(limit)
        # An outline that crosses itself is none.
        scores = logits.sigmoid() * simple(corners)[..., None]
        return [_suppressed(s, c, self.most) for s, c in zip(scores, corners, strict=True)]

    def metric(self) -> QuadrilateralPrecision:
        """Average precision over polygons."""
        return QuadrilateralPrecision(len(self.categories))


def corner_loss(found: Tensor, true: Tensor) -> Tensor:
    """How far corners lie apart, from whichever of the true ones on that is least.

    Smooth L1 on the scale of the object, the square root of its area. Of two that are equally far
    one is chosen: between the two lies no good answer.

    Args:
        found: float [..., 4, 2].
        true: float [..., 4, 2], of the same winding.

    Returns:
        float [...].
    """
    size = areas(true).abs().clamp(min=_MIN_AREA).sqrt()[..., None, None, None]
    shifted = torch.stack([true.roll(shift, -2) for shift in range(4)], -3)
    error = (found[..., None, :, :] - shifted) / size
    loss = F.smooth_l1_loss(error, torch.zeros_like(error), reduction="none", beta=_SMOOTH)
    each = loss.mean((-2, -1))  # [..., 4]
    return each.gather(-1, each.detach().argmin(-1, keepdim=True))[..., 0]


def _objects(targets: Sequence[QuadrilateralsTarget], device: torch.device) -> Quadrilaterals:
    """The objects of all targets, on the device."""
    return Quadrilaterals(
        padded([hulls(target.corners) for target in targets], device),
        padded([target.categories for target in targets], device),
        [len(target.corners) for target in targets],
        padded([target.corners for target in targets], device),
    )


def _suppressed(scores: Tensor, corners: Tensor, most: int = USUAL) -> QuadrilateralsPrediction:
    """The best detections, so many at most, of scores [P, C] and corners [P, 4, 2], on the CPU."""
    found = candidates(scores, most)
    shapes, category = corners[found.point].cpu(), found.category.cpu()
    index = torch.from_numpy(_unlike(shapes.double().numpy(), category.numpy(), most))
    return QuadrilateralsPrediction(shapes[index], category[index], found.score.cpu()[index])


def _unlike(outlines: np.ndarray, category: np.ndarray, most: int = USUAL) -> np.ndarray:
    """int64 [D]: which of N detections stay when each is unlike all better ones of its category.

    Of the areas themselves: the boxes around two slanted neighbours overlap a lot. A few of the
    best are compared with the rest, then a few of what is left: not each with each, since most of
    them are much like a better one.

    Args:
        outlines: float [N, 4, 2], the best first.
        category: int64 [N].
        most: How many stay at most.
    """
    # As far apart as categories are in number, outlines of two never meet, which costs nothing.
    apart = outlines.max(initial=0) - outlines.min(initial=0) + 1
    shift = category * apart
    outlines = outlines + shift[:, None, None]
    left = np.arange(len(outlines))
    kept: list[int] = []
    while len(left) and len(kept) < most:
        block = left[:_BLOCK]
        alike = quadrilateral_iou(outlines[block], outlines[left]) > NMS_IOU  # [b, n]
        stays = np.ones(len(left), bool)
        for row, each in enumerate(block.tolist()):
            if stays[row]:
                kept.append(each)
                stays &= ~alike[row]
        stays[: len(block)] = False
        left = left[stays]
    return np.array(kept[:most], np.int64)


HEAD = QuadrilateralDetection
