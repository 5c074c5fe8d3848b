"""Object detection: anchor-free and dense on a range of levels, with shared weights.

Boxes are distances from a point to its four sides (Tian et al., "FCOS", ICCV 2019); which points
learn an object is decided by `assignment`; scores are learnt by the quality focal loss (Li et al.,
"Generalized Focal Loss", NeurIPS 2020), boxes by GIoU (Rezatofighi et al., CVPR 2019).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.dense.assignment import Assignment, Objects, assign
from sihl_trainer.tasks.dense.head import (
    DenseHead,
    flat,
    padded,
    predictor,
    quality_focal_loss,
)
from sihl_trainer.tasks.dense.limit import USUAL
from sihl_trainer.tasks.dense.overlap import giou_loss
from sihl_trainer.tasks.dense.suppression import suppressed
from sihl_trainer.tasks.dense.tower import tower
from sihl_trainer.tasks.device import of_images
from sihl_trainer.tasks.head import Loss
from sihl_trainer.tasks.object_detection.metric import BoxesPrediction, BoxPrecision
from sihl_trainer.tasks.object_detection.target import BoxesTarget
from sihl_trainer.tasks.passes import Features, Pass, View, Views
from sihl_trainer.tasks.target import Target

BOX_WEIGHT = 2.0
NMS_IOU = 0.6
_MAX_EXPONENT = 8.0


@dataclass(frozen=True, eq=False)
class Dense:
    """What is said at each of P points, of all levels one after the other.

    Attributes:
        logits: float [B, P, C], scores.
        boxes: float [B, P, 4], xyxy in pixels.
        points: float [P, 2], xy in pixels.
        regions: By level [B, width, H, W], the features that boxes are told from: for heads that
            tell more of an object at the same points.
    """

    logits: Tensor
    boxes: Tensor
    points: Tensor
    regions: Sequence[Tensor]


class ObjectDetection(DenseHead):
    """Boxes with categories."""

    task = Task.OBJECT_DETECTION

    def __init__(self, config: HeadConfig, channels: Mapping[int, int]) -> None:
        super().__init__(config, channels, len(config.settings["categories"]))
        self.categories = list(config.settings["categories"])
        self.box_tower = tower(self.width)
        self.box = predictor(self.width, [math.log(2.0)] * 4)

    def dense(self, features: Features) -> Dense:
        """Scores and boxes at all points."""
        logits, boxes, points, regions = [], [], [], []
        for level in self.dense_levels(features):
            regions.append(self.box_tower(level.feature))
            exponent = flat(self.box(regions[-1]) * self.scale[level.number])
            sides = exponent.clamp(max=_MAX_EXPONENT).exp() * level.stride
            left_top, right_bottom = sides[..., :2], sides[..., 2:]  # [B, H * W, 2]
            boxes.append(torch.cat((level.points - left_top, level.points + right_bottom), dim=-1))
            logits.append(self.logits(level))
            points.append(level.points)
        return Dense(torch.cat(logits, 1), torch.cat(boxes, 1), torch.cat(points), regions)

    def loss(self, views: Views, targets: Sequence[Target | None]) -> dict[str, Loss]:
        """Quality focal loss of the scores, GIoU loss of the boxes, by the weight of points.

        Over annotated images.
        """
        known = [target if isinstance(target, BoxesTarget) else None for target in targets]
        return self.learnt(self.dense(views[Pass.PLAIN].features), known)[0]

    def learnt(
        self, dense: Dense, targets: Sequence[BoxesTarget | None]
    ) -> tuple[dict[str, Loss], Assignment | None]:
        """The losses, and which points learn what, by annotated image (None: there is none)."""
        logits, boxes = dense.logits, dense.boxes
        rows = [i for i, target in enumerate(targets) if target is not None]
        if not rows:
            none = logits.new_zeros(())
            return {
                "classification": Loss(logits.sum() * 0, none),
                "box": Loss(boxes.sum() * 0, none),
            }, None
        logits, boxes = of_images(logits, rows), of_images(boxes, rows)
        truth = _objects([target for target in targets if target is not None], logits.device)
        found = assign(logits.detach().sigmoid(), boxes.detach(), dense.points, truth)
        amount = found.weight.sum()
        overlap = giou_loss(boxes, found.boxes)  # [B, P]
        # Background points have no box: whatever their loss, even NaN, it counts for nothing.
        overlap = torch.where(found.weight > 0, overlap * found.weight, 0.0)
        return {
            "classification": Loss(quality_focal_loss(logits, found.scores), amount),
            "box": Loss(BOX_WEIGHT * overlap.sum(), amount),
        }, found

    def predict(self, view: View) -> list[BoxesPrediction]:
        """Detections after non-maximum suppression by category, within the input."""
        dense = self.dense(view.features)
        width, height = self.input_size(view.features)
        limit = dense.boxes.new_tensor([width, height, width, height])
        boxes = dense.boxes.clamp(min=0).minimum(limit)
        return [
            _suppressed(s, b, self.most) for s, b in zip(dense.logits.sigmoid(), boxes, strict=True)
        ]

    def metric(self) -> BoxPrecision:
        """COCO's mean average precision."""
        return BoxPrecision(len(self.categories))


def _objects(targets: Sequence[BoxesTarget], device: torch.device) -> Objects:
    """The objects of all targets, on the device."""
    return Objects(
        padded([target.boxes for target in targets], device),
        padded([target.categories for target in targets], device),
        [len(target.boxes) for target in targets],
    )


def _suppressed(scores: Tensor, boxes: Tensor, most: int = USUAL) -> BoxesPrediction:
    """The best detections, so many at most, of scores [P, C] and boxes [P, 4], on the CPU."""
    chosen = suppressed(scores, boxes, NMS_IOU, most)
    return BoxesPrediction(boxes[chosen.point].cpu(), chosen.category.cpu(), chosen.score.cpu())


HEAD = ObjectDetection
