from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torchvision.ops import box_iou as torchvision_box_iou

from sihl_trainer.tasks.measures.geometry import (
    box_iou,
    keypoint_similarity,
    mask_iou,
    quadrilateral_iou,
)

SIDE = 400


def boxes(generator: np.random.Generator, count: int, side: int = 40) -> NDArray[Any]:
    corner: NDArray[Any] = generator.integers(0, side, (count, 2))
    return np.concatenate((corner, corner + generator.integers(1, side, (count, 2))), 1)


def quadrilaterals(generator: np.random.Generator, count: int) -> NDArray[Any]:
    """Simple ones around a centre, about half of them with a corner that points inwards."""
    gap = generator.uniform(0.4, 1, (count, 4))  # none takes half of the way round
    angle = np.cumsum(gap / gap.sum(1, keepdims=True), 1) * 2 * math.pi
    angle += generator.uniform(0, 7, (count, 1))
    radius = generator.uniform(3, 20, (count, 4))
    centre = generator.uniform(15, 25, (count, 1, 2))
    corners: NDArray[Any] = np.stack((np.cos(angle), np.sin(angle)), -1)
    return np.asarray(centre + radius[..., None] * corners)


def painted(polygon: NDArray[Any]) -> NDArray[np.bool_]:
    """The points of a grid over 40 x 40 pixels that lie inside, by the even-odd rule."""
    axis = (np.arange(SIDE) + 0.5) * 60 / SIDE - 10
    x, y = np.meshgrid(axis, axis)
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, 0), strict=True):
        passed = (ay > y) != (by > y)
        inside ^= passed & (x < ax + (y - ay) * (bx - ax) / (by - ay))
    return inside


@given(st.integers(0, 10**6), st.integers(0, 6), st.integers(0, 6))
def test_overlap_of_boxes_is_torchvisions(seed: int, one: int, other: int) -> None:
    generator = np.random.default_rng(seed)
    a, b = boxes(generator, one), boxes(generator, other)
    wanted = torchvision_box_iou(torch.tensor(a, dtype=torch.float64), torch.tensor(b))
    np.testing.assert_allclose(box_iou(a, b), wanted, atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_overlap_of_quadrilaterals_is_that_of_the_areas_they_paint(seed: int) -> None:
    a, b = np.split(quadrilaterals(np.random.default_rng(seed), 4), 2)
    found = quadrilateral_iou(a, b)
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            p, q = painted(one), painted(other)
            assert found[i, j] == pytest.approx((p & q).sum() / (p | q).sum(), abs=0.02)


@given(st.integers(0, 10**6), st.integers(0, 3), st.integers(0, 3), st.sampled_from([0.0, 1e4]))
def test_overlap_of_quadrilaterals_is_symmetric_and_blind_to_how_corners_are_listed(
    seed: int, turn: int, other_turn: int, far: float
) -> None:
    generator = np.random.default_rng(seed)
    a, b = quadrilaterals(generator, 3) + far, quadrilaterals(generator, 5) + far
    found = quadrilateral_iou(a, b)
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(found.T, quadrilateral_iou(b, a), atol=1e-9)
    rewritten = quadrilateral_iou(np.roll(a, turn, 1), np.roll(b, other_turn, 1)[:, ::-1])
    np.testing.assert_allclose(found, rewritten, atol=1e-9)
    np.testing.assert_allclose(quadrilateral_iou(a, a).diagonal(), 1, atol=1e-9)


@given(st.integers(0, 10**6))
def test_rectangles_overlap_as_quadrilaterals_as_they_do_as_boxes(seed: int) -> None:
    generator = np.random.default_rng(seed)
    a, b = boxes(generator, 4, 8), boxes(generator, 4, 8)  # small: many share sides and corners
    corners = [0, 1, 2, 1, 2, 3, 0, 3]
    found = quadrilateral_iou(a[:, corners], b[:, corners])
    np.testing.assert_allclose(found, box_iou(a, b), atol=1e-12)


def test_shapes_without_area_overlap_nothing_not_even_themselves() -> None:
    line = np.array([[[0, 0], [5, 5], [9, 9], [2, 2]], [[3, 3]] * 4])
    square = np.array([[[0, 0], [9, 0], [9, 9], [0, 9]]])
    for one, other in ((line, line), (line, square), (square, line)):
        np.testing.assert_allclose(quadrilateral_iou(one, other), 0, atol=1e-12)
    assert box_iou([[1, 1, 1, 4]], [[1, 1, 1, 4]]) == 0
    assert quadrilateral_iou(np.zeros((0, 4, 2)), square).shape == (0, 1)


@given(st.integers(0, 10**6))
def test_overlap_of_masks_is_that_of_the_whole_maps(seed: int) -> None:
    generator = np.random.default_rng(seed)
    shapes: list[Any] = []
    maps: list[NDArray[np.bool_]] = []
    for count in (3, 4):
        places = boxes(generator, count, 10)
        crops = [generator.random((y1 - y0, x1 - x0)) < 0.6 for x0, y0, x1, y1 in places]
        whole = np.zeros((count, 20, 20), bool)
        for canvas, (x0, y0, x1, y1), crop in zip(whole, places, crops, strict=True):
            canvas[y0:y1, x0:x1] = crop
        shapes += [places, crops]
        maps.append(whole)
    both, either = maps[0][:, None] & maps[1], maps[0][:, None] | maps[1]
    wanted = both.sum((2, 3)) / np.maximum(either.sum((2, 3)), 1)
    assert mask_iou(*shapes) == pytest.approx(wanted)


def test_keypoints_are_like_by_their_distance_on_the_objects_scale() -> None:
    true = np.array([[[10.0, 10.0], [20.0, 20.0]]] * 3)
    found = np.array([[[10.0, 10.0], [20.0, 23.0]]])
    visible = np.array([[True, True], [True, False], [False, False]])
    similarity = keypoint_similarity(found, true, visible, [100, 100, 100], [0.05, 0.1])
    far = math.exp(-(3**2) / (2 * 100 * (2 * 0.1) ** 2))
    assert similarity[0].tolist() == pytest.approx([(1 + far) / 2, 1, 0])
    # An object without area is like nothing but itself.
    both = np.concatenate((found, true[:1]))
    alone = keypoint_similarity(both, true[:1], visible[:1], [0], [1, 1])
    assert alone[:, 0].tolist() == [0.5, 1]
