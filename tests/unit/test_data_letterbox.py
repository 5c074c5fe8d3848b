from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sihl_trainer.data.letterbox import letterboxing
from sihl_trainer.tasks.object_detection.target import BoxesTarget

SIDES = st.integers(1, 5000)
SIZES = st.tuples(SIDES, SIDES)
SHARES = st.floats(0, 1)


@given(SIZES, SIZES, st.booleans(), st.floats(0.1, 1), st.tuples(SHARES, SHARES))
def test_an_image_lies_within_its_canvas_undistorted(
    image: tuple[int, int],
    canvas: tuple[int, int],
    enlarge: bool,
    shrink: float,
    position: tuple[float, float],
) -> None:
    fit = letterboxing(image, canvas, enlarge=enlarge, shrink=shrink, position=position)
    (width, height), place = fit.size, fit.placement
    assert 0 <= place.left <= canvas[0] - width
    assert 0 <= place.top <= canvas[1] - height
    scale = min(canvas[0] / image[0], canvas[1] / image[1])
    scale = (scale if enlarge else min(1, scale)) * shrink
    assert abs(width - image[0] * scale) <= 0.5 or width == 1  # distorted by rounding only
    assert abs(height - image[1] * scale) <= 0.5 or height == 1


@given(SIZES, SIZES)
def test_a_letterboxed_image_touches_two_edges_of_its_canvas(
    image: tuple[int, int], canvas: tuple[int, int]
) -> None:
    size = letterboxing(image, canvas).size
    assert size[0] == canvas[0] or size[1] == canvas[1]


@given(SIZES, SIZES)
def test_without_scaling_an_image_that_fits_keeps_its_pixels(
    image: tuple[int, int], canvas: tuple[int, int]
) -> None:
    fit = letterboxing(image, canvas, enlarge=False)
    if image[0] <= canvas[0] and image[1] <= canvas[1]:
        assert fit.size == image
        assert (fit.placement.scale_x, fit.placement.scale_y) == (1, 1)
    else:
        assert fit == letterboxing(image, canvas)


@given(SIZES, SIZES, st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=4))
def test_inverting_a_placement_gives_the_boxes_back(
    image: tuple[int, int], canvas: tuple[int, int], shares: list[tuple[float, ...]]
) -> None:
    boxes = torch.tensor(shares, dtype=torch.float64).reshape(-1, 4)
    boxes *= torch.tensor([*image, *image])
    place = letterboxing(image, canvas).placement
    assert torch.allclose(place.invert(place.apply(boxes)), boxes, atol=1e-6)
    assert torch.allclose(place.invert(place.apply(boxes[:, :2])), boxes[:, :2], atol=1e-6)


def test_a_box_around_the_whole_image_is_around_its_place_in_the_canvas() -> None:
    fit = letterboxing((500, 375), (224, 224))
    assert fit.size == (224, 168)
    assert fit.placement.apply(torch.tensor([[0.0, 0, 500, 375]])).tolist() == [[0, 28, 224, 196]]


@given(st.floats(1, 1000), st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_mirroring_twice_changes_nothing(width: float, corners: list[float]) -> None:
    boxes = torch.tensor([corners], dtype=torch.float64) * width
    target = BoxesTarget(boxes, torch.tensor([0]))
    assert torch.allclose(target.mirrored(width).mirrored(width).boxes, boxes, atol=1e-9)


@pytest.mark.parametrize(("left", "right"), [(0, 3), (10, 22)])
def test_a_mirrored_box_keeps_its_corners_in_order(left: float, right: float) -> None:
    target = BoxesTarget(torch.tensor([[left, 1.0, right, 2.0]]), torch.tensor([0])).mirrored(100)
    assert target.boxes.tolist() == [[100 - right, 1, 100 - left, 2]]
