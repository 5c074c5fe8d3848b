"""Which points learn which object, and how much: soft, task-aligned assignment.

Feng et al., "TOOD: Task-aligned One-stage Object Detection", ICCV 2021, section 3.2: a point's
alignment with an object is t = s^alpha * u^beta, of its score s for the object's category and the
IoU u of its box; the best k points inside the object are positive, and learn a score that is t
scaled, for each object, to the largest IoU among them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ALPHA = 1.0
BETA = 6.0
TOP_K = 13
_EPSILON = 1e-9


@dataclass(frozen=True, eq=False)
class Assignment:
    """What each of P points learns, for a batch of B images.

    Attributes:
        scores: float [B, P, C], the soft scores.
        boxes: float [B, P, 4], the object's box; meaningless where `weight` is 0.
        weight: float [B, P], the soft score of the point's own category; 0 for background.
    """

    scores: Tensor
    boxes: Tensor
    weight: Tensor


@torch.no_grad()
def assign(
    scores: Tensor, boxes: Tensor, points: Tensor, truth: Tensor, category: Tensor, valid: Tensor
) -> Assignment:
    """Assign points to objects.

    Args:
        scores: float [B, P, C], predicted probabilities.
        boxes: float [B, P, 4], predicted boxes in pixels.
        points: float [P, 2], in pixels.
        truth: float [B, M, 4], objects in pixels, padded.
        category: int64 [B, M].
        valid: bool [B, M]: which objects are no padding.
    """
    batch, objects = valid.shape
    count = scores.shape[1]
    if objects == 0:
        zeros = scores.new_zeros
        return Assignment(zeros(scores.shape), zeros(batch, count, 4), zeros(batch, count))
    inside = _inside(points, truth) & valid[..., None]  # [B, M, P]
    overlap = pairwise_iou(truth, boxes)  # [B, M, P]
    score = scores.transpose(1, 2).gather(1, category[..., None].expand(-1, -1, count))
    alignment = (score.pow(ALPHA) * overlap.pow(BETA) + _EPSILON) * inside
    best = alignment.topk(min(TOP_K, count), dim=2).indices
    positive = torch.zeros_like(inside).scatter_(2, best, True) & inside
    # A point between several objects learns the one that its box fits best.
    owner = torch.where(positive, overlap, overlap.new_tensor(-1.0)).argmax(dim=1)  # [B, P]
    positive &= torch.arange(objects, device=owner.device)[None, :, None] == owner[:, None]
    alignment, overlap = alignment * positive, overlap * positive
    scale = overlap.amax(2, keepdim=True) / alignment.amax(2, keepdim=True).clamp(min=_EPSILON)
    soft = alignment * scale  # [B, M, P]
    weight = soft.gather(1, owner[:, None]).squeeze(1)  # [B, P]
    own_category = category.gather(1, owner)
    target = torch.zeros_like(scores).scatter_(2, own_category[..., None], weight[..., None])
    own_box = truth.gather(1, owner[..., None].expand(-1, -1, 4))
    return Assignment(target, own_box, weight)


def pairwise_iou(one: Tensor, other: Tensor) -> Tensor:
    """[B, M, P]: intersection over union of boxes [B, M, 4] and [B, P, 4], xyxy; 0 where empty.

    torchvision's takes one image at a time.
    """
    one, other = one[:, :, None], other[:, None]  # [B, M, 1, 4], [B, 1, P, 4]
    corner = torch.maximum(one[..., :2], other[..., :2])
    width, height = (torch.minimum(one[..., 2:], other[..., 2:]) - corner).clamp(min=0).unbind(-1)
    shared = width * height
    united = _area(one) + _area(other) - shared
    return shared / united.clamp(min=_EPSILON)


def _area(boxes: Tensor) -> Tensor:
    left, top, right, bottom = boxes.unbind(-1)
    return (right - left) * (bottom - top)


def _inside(points: Tensor, truth: Tensor) -> Tensor:
    """bool [B, M, P]: points inside each object, or the nearest one where none is."""
    x, y = points.unbind(1)
    left, top, right, bottom = (side[..., None] for side in truth.unbind(-1))
    inside = (x > left) & (x < right) & (y > top) & (y < bottom)
    distance = (x - (left + right) / 2).square() + (y - (top + bottom) / 2).square()
    nearest = torch.zeros_like(inside).scatter_(2, distance.argmin(2, keepdim=True), True)
    return torch.where(inside.any(2, keepdim=True), inside, nearest)
