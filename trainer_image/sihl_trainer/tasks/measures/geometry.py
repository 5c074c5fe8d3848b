"""How much two sets of shapes are alike, pair by pair: float64 [D, G], within 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_BLOCK = 256
"""Detections that are compared with all objects at a time."""


def box_iou(one: ArrayLike, other: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of boxes [D, 4] and [G, 4], xyxy."""
    a = np.asarray(one, np.float64).reshape(-1, 4)
    b = np.asarray(other, np.float64).reshape(-1, 4)
    return _iou(_overlap(a, b), _box_area(a), _box_area(b))


def mask_iou(
    one_boxes: ArrayLike,
    one_masks: Sequence[NDArray[np.bool_]],
    other_boxes: ArrayLike,
    other_masks: Sequence[NDArray[np.bool_]],
) -> NDArray[np.float64]:
    """Intersection over union of masks.

    Args:
        one_boxes: integers [D, 4], xyxy: the pixels that each mask covers, ends exclusive.
        one_masks: D masks, bool [height, width] of their boxes.
        other_boxes: integers [G, 4].
        other_masks: G masks.
    """
    a = np.asarray(one_boxes, np.int64).reshape(-1, 4)
    b = np.asarray(other_boxes, np.int64).reshape(-1, 4)
    shared = np.zeros((len(a), len(b)))
    for i, j in zip(*_overlap(a, b).nonzero(), strict=True):
        box = (*np.maximum(a[i, :2], b[j, :2]), *np.minimum(a[i, 2:], b[j, 2:]))
        both = _window(one_masks[i], a[i], box) & _window(other_masks[j], b[j], box)
        shared[i, j] = np.count_nonzero(both)
    areas = [np.array([m.sum() for m in masks], float) for masks in (one_masks, other_masks)]
    return _iou(shared, *areas)


def quadrilateral_iou(one: ArrayLike, other: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of simple polygons with four corners, [D, 4, 2] and [G, 4, 2].

    Exact, convex or not, whichever corner comes first and whichever way round. A polygon whose
    sides cross has no such area: its result is only sure to be within 0 to 1.
    """
    a = np.asarray(one, np.float64).reshape(-1, 4, 2)
    b = np.asarray(other, np.float64).reshape(-1, 4, 2)
    (a_piece, a_owner), (b_piece, b_owner) = _convex(a), _convex(b)
    i, j = (_overlap(_hull(a_piece), _hull(b_piece)) > 0).nonzero()
    shared = np.zeros((len(a), len(b)))
    np.add.at(shared, (a_owner[i], b_owner[j]), _area(_clipped(a_piece[i], b_piece[j])))
    areas = [
        np.bincount(owner, np.abs(_area(piece)), len(whole)).astype(np.float64)
        for piece, owner, whole in ((a_piece, a_owner, a), (b_piece, b_owner, b))
    ]
    return _iou(shared, *areas)


def keypoint_similarity(
    found: ArrayLike, true: ArrayLike, visible: ArrayLike, areas: ArrayLike, sigmas: ArrayLike
) -> NDArray[np.float64]:
    """COCO's object keypoint similarity (OKS): how near keypoints are, on the object's scale.

    Args:
        found: float [D, K, 2], pixels.
        true: float [G, K, 2].
        visible: bool [G, K]: the keypoints that count. An object without any is like nothing.
        areas: float [G], the objects' areas in square pixels.
        sigmas: float [K], how far people place each keypoint apart, of the area's square root.
    """
    shown = np.asarray(visible, bool)
    points, there = np.asarray(found, np.float64), np.asarray(true, np.float64)
    variance = (2 * np.asarray(sigmas, np.float64)) ** 2
    scale = 2 * variance * (np.asarray(areas, np.float64)[:, None] + np.spacing(1))  # [G, K]
    similarity = np.zeros((len(points), len(there)))
    for first in range(0, len(points), _BLOCK):
        offset = points[first : first + _BLOCK, None] - there
        likeness = np.exp(-(offset**2).sum(-1) / scale) * shown
        similarity[first : first + _BLOCK] = likeness.sum(-1) / np.maximum(shown.sum(-1), 1)
    return similarity


def _iou(
    shared: NDArray[np.float64], one: NDArray[np.float64], other: NDArray[np.float64]
) -> NDArray[np.float64]:
    union = one[:, None] + other - shared
    found = np.divide(shared, union, out=np.zeros_like(union), where=union > 0)
    return np.clip(found, 0, 1)


def _box_area(boxes: NDArray[Any]) -> NDArray[Any]:
    area: NDArray[Any] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return area


def _overlap(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Shared area of boxes, [D, G]."""
    width, height = (
        np.minimum(a[:, None, i + 2], b[:, i + 2]) - np.maximum(a[:, None, i], b[:, i])
        for i in (0, 1)
    )
    area: NDArray[Any] = width.clip(min=0) * height.clip(min=0)
    return area


def _window(mask: NDArray[np.bool_], box: NDArray[Any], window: Sequence[int]) -> NDArray[np.bool_]:
    """The part of a box's mask that lies in a window within the box."""
    x, y = box[0], box[1]
    return mask[window[1] - y : window[3] - y, window[0] - x : window[2] - x]


def _hull(polygons: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes [N, 4] around polygons [N, V, 2]."""
    return np.concatenate((polygons.min(1), polygons.max(1)), -1)


def _cross(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    product: NDArray[Any] = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return product


def _area(polygons: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signed areas of [N, V, 2], measured from a corner: far from the origin, digits are few."""
    local = polygons - polygons[:, :1]
    area: NDArray[np.float64] = _cross(local, np.roll(local, -1, 1)).sum(-1) / 2
    return area


def _convex(polygons: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Convex pieces [P, 4, 2] of positive winding, and whose each is.

    A polygon with a corner that points inwards is parted there, into two triangles; a triangle's
    last corner is repeated.
    """
    turned = np.where((_area(polygons) < 0)[:, None, None], polygons[:, ::-1], polygons)
    side = np.roll(turned, -1, 1) - turned
    turn = _cross(np.roll(side, 1, 1), side)  # at each corner; negative where it points inwards
    inward = turn.argmin(1)
    owner = np.arange(len(polygons))
    dented = turn.min(1, initial=0) < 0
    corner = (inward[dented, None] + np.arange(4)) % 4
    first = turned[dented][np.arange(len(corner))[:, None], corner]  # from the inward corner on
    pieces = (turned[~dented], first[:, [0, 1, 2, 2]], first[:, [0, 2, 3, 3]])
    return np.concatenate(pieces), np.concatenate((owner[~dented], owner[dented], owner[dented]))


def _clipped(subject: NDArray[np.float64], window: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each convex window [N, 4, 2] leaves of its convex subject [N, V, 2].

    Sutherland and Hodgman, "Reentrant polygon clipping" (1974): by one side after the other. A
    side adds a corner at most; rows with fewer repeat one of theirs.
    """
    for k in range(window.shape[1]):
        start = window[:, k, None]
        side = window[:, (k + 1) % window.shape[1], None] - start
        after = np.roll(subject, -1, 1)
        here, there = _cross(side, subject - start), _cross(side, after - start)  # >= 0: within
        crosses = (here >= 0) != (there >= 0)
        step = np.divide(here, here - there, out=np.zeros_like(here), where=crosses)
        crossing = subject + step[..., None] * (after - subject)
        rows, count = here.shape
        corners = np.stack((subject, crossing), 2).reshape(rows, 2 * count, 2)
        kept = np.stack((here >= 0, crosses), 2).reshape(rows, 2 * count)
        order = np.argsort(~kept, axis=1, kind="stable")[:, : count + 1]
        order = np.where(np.take_along_axis(kept, order, 1), order, order[:, :1])
        subject = np.take_along_axis(corners, order[..., None], 1)
        subject[~kept.any(1)] = 0
    return subject
