"""Which points learn which object, and how much: soft, task-aligned assignment.

Feng et al., "TOOD: Task-aligned One-stage Object Detection", ICCV 2021, section 3.2: a point's
alignment with an object is t = s^alpha * u^beta, of its score s for the object's category and the
IoU u of its box; the best k points inside the object are positive, and learn a score that is t
scaled, for each object, to the largest IoU among them. What lies inside an object, and how well a
prediction fits it, is the object's to say: for other shapes than boxes u is another likeness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor

from sihl_trainer.tasks.dense.overlap import pairwise_iou
from sihl_trainer.tasks.device import on_device

ALPHA = 1.0
BETA = 6.0
TOP_K = 13
_EPSILON = 1e-9
_PAIRS = 2**24
"""Pairs of object and point that are looked at together; each takes some 60 bytes."""


@dataclass(frozen=True, eq=False)
class Assignment:
    """What each of P points learns, for a batch of B images.

    Attributes:
        scores: float [B, P, C], the soft scores.
        boxes: float [B, P, 4], the object's box; meaningless where `weight` is 0.
        weight: float [B, P], the soft score of the point's own category; 0 for background.
        owner: int64 [B, P], the object's place in its image; meaningless where `weight` is 0.
    """

    scores: Tensor
    boxes: Tensor
    weight: Tensor
    owner: Tensor

    def own(self, values: Tensor) -> Tensor:
        """[B, P, ...]: of values [B, M, ...], the objects', that of each point's own."""
        if values.shape[1] == 0:
            return values.new_zeros((*self.owner.shape, *values.shape[2:]))
        rows = torch.arange(len(self.owner), device=self.owner.device)[:, None]
        return values[rows, self.owner]

    def at(self, point: Tensor) -> Assignment:
        """What points [B, S] learn, of the P."""
        wide = point[..., None]
        return Assignment(
            self.scores.gather(1, wide.expand(-1, -1, self.scores.shape[2])),
            self.boxes.gather(1, wide.expand(-1, -1, 4)),
            self.weight.gather(1, point),
            self.owner.gather(1, point),
        )


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of a batch of B images, padded to the M of the image that has most.

    These are boxes. Other shapes are subclasses, which have further tensors [B, M, ...] and say by
    themselves what lies inside them and what fits them.

    Attributes:
        boxes: float [B, M, 4], in pixels: around the objects.
        categories: int64 [B, M].
        counts: How many of each image's are no padding.
    """

    boxes: Tensor
    categories: Tensor
    counts: Sequence[int]

    def part(self, rows: slice | Tensor, some: slice) -> Self:
        """Some objects of some images; its counts are still those of all."""
        tensors: dict[str, Any] = {
            field.name: value[rows, some]
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **tensors)

    def inside(self, points: Tensor) -> Tensor:
        """bool [B, M, P]: which of the points [P, 2] lie inside each object."""
        x, y = points.unbind(1)
        left, top, right, bottom = (side[..., None] for side in self.boxes.unbind(-1))
        return (x > left) & (x < right) & (y > top) & (y < bottom)

    def fit(self, predicted: Tensor) -> Tensor:
        """float [B, M, P] within 0 to 1: how well predictions [B, P, ...] fit each object."""
        return pairwise_iou(self.boxes, predicted)


@torch.no_grad()
def assign(scores: Tensor, predicted: Tensor, points: Tensor, truth: Objects) -> Assignment:
    """Assign points to objects.

    Args:
        scores: float [B, P, C], predicted probabilities.
        predicted: float [B, P, ...], predicted shapes in pixels, as `truth.fit` takes them: boxes
            [B, P, 4].
        points: float [P, 2], in pixels.
        truth: What the images show.
    """
    batch, count = scores.shape[:2]
    objects = truth.boxes.shape[1]
    if objects == 0:
        zeros = scores.new_zeros
        nobody = torch.zeros(batch, count, dtype=torch.int64, device=scores.device)
        return Assignment(zeros(scores.shape), zeros(batch, count, 4), zeros(batch, count), nobody)
    found = _candidates(scores, predicted, points, truth)
    at = found.point.flatten(1)  # [B, M * K]
    overlap = torch.where(found.positive, found.overlap, -1.0).flatten(1)
    # A point between several objects learns the one that it fits best, of equals the first.
    nothing = overlap.new_full((batch, count), -1.0)
    best = nothing.scatter_reduce(1, at, overlap, "amax")
    theirs = found.positive & (overlap == best.gather(1, at)).view_as(found.positive)
    number = torch.arange(objects, device=at.device)[:, None].expand_as(found.point)
    offered = torch.where(theirs, number, objects).flatten(1)
    owner = offered.new_full((batch, count), objects).scatter_reduce(1, at, offered, "amin")
    theirs &= number == owner.gather(1, at).view_as(number)
    alignment, overlap = found.alignment * theirs, found.overlap * theirs
    scale = overlap.amax(2, keepdim=True) / alignment.amax(2, keepdim=True).clamp(min=_EPSILON)
    soft = (alignment * scale).flatten(1)
    weight = nothing.zero_().scatter_reduce(1, at, soft, "amax")  # [B, P]
    owner = owner.where(owner < objects, 0)
    own_category = truth.categories.gather(1, owner)
    target = torch.zeros_like(scores).scatter_(2, own_category[..., None], weight[..., None])
    own_box = truth.boxes.gather(1, owner[..., None].expand(-1, -1, 4))
    return Assignment(target, own_box, weight, owner)


@dataclass(frozen=True, eq=False)
class _Candidates:
    """The best K points of each of M objects, [B, M, K] each; none is positive for padding."""

    point: Tensor
    alignment: Tensor
    overlap: Tensor
    positive: Tensor


def _candidates(scores: Tensor, predicted: Tensor, points: Tensor, truth: Objects) -> _Candidates:
    """Every object beside every point, some objects at a time: one image may have thousands."""
    batch, count = scores.shape[:2]
    most = max(truth.counts)
    shape = (batch, truth.boxes.shape[1], min(TOP_K, count))
    found = _Candidates(
        torch.zeros(shape, dtype=torch.int64, device=scores.device),
        scores.new_zeros(shape),
        scores.new_zeros(shape),
        torch.zeros(shape, dtype=torch.bool, device=scores.device),
    )
    start = 0
    while start < most:
        left = [row for row, own in enumerate(truth.counts) if own > start]
        stop = min(most, start + max(1, _PAIRS // (len(left) * count)))
        real = torch.arange(start, stop) < torch.tensor([[truth.counts[row]] for row in left])
        real = real.to(scores.device, non_blocking=True)
        whole = len(left) == batch  # all of them are not copied
        rows = slice(None) if whole else on_device(left, scores)
        part = rows, slice(start, stop)
        some = truth.part(*part)
        inside = _inside(points, some) & real[..., None]  # [b, m, P]
        overlap = some.fit(predicted[rows])
        index = some.categories[..., None].expand(-1, -1, count)
        score = scores[rows].transpose(1, 2).gather(1, index)
        alignment = (score.pow(ALPHA) * overlap.pow(BETA) + _EPSILON) * inside
        best = alignment.topk(shape[2], dim=2)
        found.point[part] = best.indices
        found.alignment[part] = best.values
        found.overlap[part] = overlap.gather(2, best.indices)
        found.positive[part] = inside.gather(2, best.indices)
        start = stop
    return found


def _inside(points: Tensor, truth: Objects) -> Tensor:
    """bool [B, M, P]: points inside each object, or the nearest one where none is."""
    inside = truth.inside(points)
    x, y = points.unbind(1)
    left, top, right, bottom = (side[..., None] for side in truth.boxes.unbind(-1))
    distance = (x - (left + right) / 2).square() + (y - (top + bottom) / 2).square()
    nearest = torch.zeros_like(inside).scatter_(2, distance.argmin(2, keepdim=True), True)
    return torch.where(inside.any(2, keepdim=True), inside, nearest)
