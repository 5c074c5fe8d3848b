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
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import batched_nms, generalized_box_iou_loss

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.dense.assignment import Assignment, Objects, assign
from sihl_trainer.tasks.dense.points import grid
from sihl_trainer.tasks.dense.tower import tower
from sihl_trainer.tasks.head import Head, Loss
from sihl_trainer.tasks.object_detection.metric import BoxesPrediction, BoxPrecision
from sihl_trainer.tasks.object_detection.target import BoxesTarget
from sihl_trainer.tasks.passes import Features, Pass, View, Views
from sihl_trainer.tasks.target import Target

BOX_WEIGHT = 2.0
SCORE_THRESHOLD = 0.05
CANDIDATES = 1000
NMS_IOU = 0.6
MAX_DETECTIONS = 100
_PRIOR = 0.01
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


class ObjectDetection(Head):
    """Boxes with categories."""

    task = Task.OBJECT_DETECTION

    def __init__(self, config: HeadConfig, channels: Mapping[int, int]) -> None:
        super().__init__(config, channels)
        self.categories = list(config.settings["categories"])
        width = channels[self.levels[0]]
        self.score_tower = tower(width)
        self.box_tower = tower(width)
        self.score = nn.Conv2d(width, len(self.categories), 3, padding=1)
        self.box = nn.Conv2d(width, 4, 3, padding=1)
        self.scale = nn.Parameter(torch.ones(len(self.levels)))
        for layer in (self.score, self.box):
            nn.init.normal_(layer.weight, std=0.01)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        # At first nearly everything is background: start from that (RetinaNet, section 3.3).
        assert self.score.bias is not None
        assert self.box.bias is not None
        nn.init.constant_(self.score.bias, -math.log((1 - _PRIOR) / _PRIOR))
        nn.init.constant_(self.box.bias, math.log(2.0))

    @classmethod
    def default_levels(cls, channels: Mapping[int, int], has_neck: bool) -> list[int]:
        """All of the neck's levels, or the backbone's fourth."""
        if has_neck:
            return [min(channels), max(channels)]
        level = min(4, max(channels))
        return [level, level]

    def dense(self, features: Features) -> Dense:
        """Scores and boxes at all points."""
        logits, boxes, points, regions = [], [], [], []
        for i, level in enumerate(self.levels):
            stride, feature = 2**level, features[level]
            scores = self.score(self.score_tower(feature))
            regions.append(self.box_tower(feature))
            exponent = self.box(regions[-1]) * self.scale[i]
            distances = exponent.float().clamp(max=_MAX_EXPONENT).exp() * stride
            centres = grid(feature.shape[-2:], stride, feature.device)
            sides = distances.flatten(2).transpose(1, 2)  # [B, H * W, 4]: left, top, right, bottom
            boxes.append(torch.cat((centres - sides[..., :2], centres + sides[..., 2:]), dim=-1))
            logits.append(scores.float().flatten(2).transpose(1, 2))
            points.append(centres)
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
        """The losses, and which points learn what in each annotated image; None: there is none."""
        logits, boxes = dense.logits, dense.boxes
        rows = [i for i, target in enumerate(targets) if target is not None]
        if not rows:
            none = logits.new_zeros(())
            return {
                "classification": Loss(logits.sum() * 0, none),
                "box": Loss(boxes.sum() * 0, none),
            }, None
        if len(rows) < len(targets):
            logits, boxes = logits[rows], boxes[rows]
        truth = _padded([t for t in targets if t is not None], logits.device)
        found = assign(logits.detach().sigmoid(), boxes.detach(), dense.points, truth)
        amount = found.weight.sum()
        error = (found.scores - logits.sigmoid()).detach().square()
        entropy = F.binary_cross_entropy_with_logits(logits, found.scores, reduction="none")
        overlap = generalized_box_iou_loss(boxes, found.boxes, eps=1e-7)  # [B, P]
        # Background points have no box: whatever their loss, even NaN, it counts for nothing.
        overlap = torch.where(found.weight > 0, overlap * found.weight, 0.0)
        return {
            "classification": Loss((error * entropy).sum(), amount),
            "box": Loss(BOX_WEIGHT * overlap.sum(), amount),
        }, found

    def predict(self, view: View) -> list[BoxesPrediction]:
        """Detections after non-maximum suppression by category, within the input."""
        dense = self.dense(view.features)
        level = self.levels[0]
        height, width = (side * 2**level for side in view.features[level].shape[-2:])
        limit = dense.boxes.new_tensor([width, height, width, height])
        boxes = dense.boxes.clamp(min=0).minimum(limit)
        return [_suppressed(s, b) for s, b in zip(dense.logits.sigmoid(), boxes, strict=True)]

    def metric(self) -> BoxPrecision:
        """COCO's mean average precision."""
        return BoxPrecision(len(self.categories))


def _padded(targets: Sequence[BoxesTarget], device: torch.device) -> Objects:
    """The objects of all targets, on the device."""
    counts = [len(target.boxes) for target in targets]
    boxes = torch.zeros(len(targets), max(counts), 4)
    categories = torch.zeros(len(targets), max(counts), dtype=torch.int64)
    for row, (target, count) in enumerate(zip(targets, counts, strict=True)):
        boxes[row, :count], categories[row, :count] = target.boxes, target.categories
    # From the host: where targets lay on the device, each would be waited for by itself.
    return Objects(
        boxes.to(device, non_blocking=True), categories.to(device, non_blocking=True), counts
    )


def suppressed(scores: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The best detections of scores [P, C] and boxes [P, 4]: points, categories, scores."""
    point, category = (scores > SCORE_THRESHOLD).nonzero(as_tuple=True)
    kept = scores[point, category]
    if len(kept) > CANDIDATES:
        kept, order = kept.topk(CANDIDATES)
        point, category = point[order], category[order]
    chosen = batched_nms(boxes[point], kept, category, NMS_IOU)[:MAX_DETECTIONS]
    return point[chosen], category[chosen], kept[chosen]


def _suppressed(scores: Tensor, boxes: Tensor) -> BoxesPrediction:
    point, category, kept = suppressed(scores, boxes)
    return BoxesPrediction(boxes[point].cpu(), category.cpu(), kept.cpu())


HEAD = ObjectDetection
