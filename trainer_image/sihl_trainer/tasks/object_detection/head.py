"""Object detection: anchor-free and dense on a range of levels, with shared weights.

Boxes are distances from a point to its four sides (Tian et al., "FCOS", ICCV 2019); which points
learn an object is decided by `assignment`; scores are learnt by the quality focal loss (Li et al.,
"Generalized Focal Loss", NeurIPS 2020), boxes by GIoU (Rezatofighi et al., CVPR 2019).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.dense.assignment import Objects, assign
from sihl_trainer.tasks.dense.head import (
    DenseHead,
    flat,
    padded,
    predictor,
    quality_focal_loss,
)
from sihl_trainer.tasks.dense.suppression import suppressed
from sihl_trainer.tasks.dense.tower import tower
from sihl_trainer.tasks.head import Loss
from sihl_trainer.tasks.object_detection.metric import BoxesPrediction, BoxPrecision
from sihl_trainer.tasks.object_detection.target import BoxesTarget
from sihl_trainer.tasks.passes import Features, Pass, View, Views
from sihl_trainer.tasks.target import Target

BOX_WEIGHT = 2.0
NMS_IOU = 0.6
_MAX_EXPONENT = 8.0


class ObjectDetection(DenseHead):
    """Boxes with categories."""

    task = Task.OBJECT_DETECTION

    def __init__(self, config: HeadConfig, channels: Mapping[int, int]) -> None:
        super().__init__(config, channels, len(config.settings["categories"]))
        self.categories = list(config.settings["categories"])
        self.box_tower = tower(self.width)
        self.box = predictor(self.width, [math.log(2.0)] * 4)

    def _dense(self, features: Features) -> tuple[Tensor, Tensor, Tensor]:
        """Scores as logits [B, P, C], boxes [B, P, 4] in pixels, points [P, 2] in pixels."""
        logits, boxes, points = [], [], []
        for level in self.dense_levels(features):
            exponent = flat(self.box(self.box_tower(level.feature)) * self.scale[level.number])
            sides = exponent.clamp(max=_MAX_EXPONENT).exp() * level.stride
            left_top, right_bottom = sides[..., :2], sides[..., 2:]  # [B, H * W, 2]
            boxes.append(torch.cat((level.points - left_top, level.points + right_bottom), dim=-1))
            logits.append(self.logits(level))
            points.append(level.points)
        return torch.cat(logits, 1), torch.cat(boxes, 1), torch.cat(points)

    def loss(self, views: Views, targets: Sequence[Target | None]) -> dict[str, Loss]:
        """Quality focal loss of the scores, GIoU loss of the boxes, by the weight of points.

        Over annotated images.
        """
        logits, boxes, points = self._dense(views[Pass.PLAIN].features)
        rows = [i for i, target in enumerate(targets) if isinstance(target, BoxesTarget)]
        if not rows:
            none = logits.new_zeros(())
            return {
                "classification": Loss(logits.sum() * 0, none),
                "box": Loss(boxes.sum() * 0, none),
            }
        if len(rows) < len(targets):
            logits, boxes = logits[rows], boxes[rows]
        truth = _objects([t for t in targets if isinstance(t, BoxesTarget)], logits.device)
        found = assign(logits.detach().sigmoid(), boxes.detach(), points, truth)
        amount = found.weight.sum()
        overlap = generalized_box_iou_loss(boxes, found.boxes, eps=1e-7)  # [B, P]
        # Background points have no box: whatever their loss, even NaN, it counts for nothing.
        overlap = torch.where(found.weight > 0, overlap * found.weight, 0.0)
        return {
            "classification": Loss(quality_focal_loss(logits, found.scores), amount),
            "box": Loss(BOX_WEIGHT * overlap.sum(), amount),
        }

    def predict(self, view: View) -> list[BoxesPrediction]:
        """Detections after non-maximum suppression by category, within the input."""
        logits, boxes, _ = self._dense(view.features)
        width, height = self.input_size(view.features)
        limit = boxes.new_tensor([width, height, width, height])
        boxes = boxes.clamp(min=0).minimum(limit)
        return [_suppressed(s, b) for s, b in zip(logits.sigmoid(), boxes, strict=True)]

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


def _suppressed(scores: Tensor, boxes: Tensor) -> BoxesPrediction:
    """The best detections of scores [P, C] and boxes [P, 4], on the CPU."""
    chosen = suppressed(scores, boxes, NMS_IOU)
    return BoxesPrediction(boxes[chosen.point].cpu(), chosen.category.cpu(), chosen.score.cpu())


HEAD = ObjectDetection
