"""Quadrilaterals as tensors: float [..., 4, 2], their corners in the order of the outline."""

from __future__ import annotations

import torch
from torch import Tensor


def hulls(corners: Tensor) -> Tensor:
    """float [..., 4], xyxy: the boxes around."""
    return torch.cat((corners.amin(-2), corners.amax(-2)), -1)


def areas(corners: Tensor) -> Tensor:
    """float [...], positive where the corners are clockwise as one sees them (y goes down).

    Measured from the first corner: far from the origin, digits are few.
    """
    local = corners - corners[..., :1, :]
    return _cross(local, local.roll(-1, -2)).sum(-1) / 2


def inside(points: Tensor, corners: Tensor) -> Tensor:
    """bool [..., P]: which of the points [P, 2] each outline [..., 4, 2] holds.

    By the number of sides that a ray to the right crosses (odd: inside), so dents are outside.
    """
    x, y = points.unbind(-1)
    held = torch.zeros((*corners.shape[:-2], len(points)), dtype=torch.bool, device=points.device)
    for number in range(4):
        x0, y0 = (each[..., None] for each in corners[..., number, :].unbind(-1))
        x1, y1 = (each[..., None] for each in corners[..., (number + 1) % 4, :].unbind(-1))
        # A side goes past the point's height, and there the point lies on its left.
        down = y1 > y0
        passes = (y0 > y) != (y1 > y)
        left = (x - x0) * (y1 - y0) < (x1 - x0) * (y - y0)
        held ^= passes & (left == down)
    return held


def simple(corners: Tensor) -> Tensor:
    """bool [...]: which outlines have an area and neither cross nor touch themselves."""
    a, b, c, d = corners.unbind(-2)
    return (areas(corners) != 0) & ~_meet(a, b, c, d) & ~_meet(b, c, d, a)


def _meet(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """bool [...]: whether the lines from a to b and from c to d, [..., 2], have a point in common.

    Never where all four points lie on one line.
    """
    apart = _turn(a, b, c) * _turn(a, b, d) > 0
    return ~(apart | (_turn(c, d, a) * _turn(c, d, b) > 0))


def _turn(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return _cross(b - a, c - a)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
