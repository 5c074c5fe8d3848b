from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.data.letterbox import letterboxing
from sihl_trainer.errors import BadData
from sihl_trainer.tasks.dense.assignment import assign
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.measures.geometry import quadrilateral_iou
from sihl_trainer.tasks.quadrilateral_detection import head as head_module
from sihl_trainer.tasks.quadrilateral_detection.geometry import areas, hulls, inside, simple
from sihl_trainer.tasks.quadrilateral_detection.head import (
    NMS_IOU,
    QuadrilateralDetection,
    Quadrilaterals,
    corner_loss,
)
from sihl_trainer.tasks.quadrilateral_detection.metric import QuadrilateralsPrediction
from sihl_trainer.tasks.quadrilateral_detection.picture import QuadrilateralsPainter
from sihl_trainer.tasks.quadrilateral_detection.target import QuadrilateralsTarget
from tests.support.formats import read_back, read_text
from tests.support.heads import measured, plain, view
from tests.support.overfit import digits, overfitted

INFO = HeadInfo(Task.QUADRILATERAL_DETECTION, ("cat", "dog"))
DIAMOND = ((20.0, 4.0), (36.0, 20.0), (20.0, 36.0), (4.0, 20.0))
DENTED = ((4.0, 4.0), (36.0, 4.0), (12.0, 12.0), (4.0, 36.0))


def head() -> QuadrilateralDetection:
    torch.manual_seed(0)
    config = HeadConfig(
        name="quads",
        task=Task.QUADRILATERAL_DETECTION.value,
        levels=[3, 4],
        settings=QuadrilateralDetection.settings(INFO),
    )
    return QuadrilateralDetection(config, {3: 16, 4: 16})


def features(seed: int = 0) -> dict[int, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {level: torch.randn(1, 16, 64 >> level, 64 >> level, generator=generator)
            for level in (3, 4)}  # fmt: skip


def turned(width: float, height: float, degrees: float, x: float = 32, y: float = 32) -> Tensor:
    """A turned box, [4, 2], clockwise."""
    angle = math.radians(degrees)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    corners = torch.tensor([[-width, -height], [width, -height], [width, height], [-width, height]])
    return corners / 2 @ turn.T + torch.tensor([x, y])


def read(*corners: tuple[float, float]) -> QuadrilateralsTarget:
    quad = [list(corner) for corner in corners]
    found = read_text(INFO, f"0.jpg: [{{category: dog, quad: {quad}}}]").target("0.jpg")
    assert isinstance(found, QuadrilateralsTarget)
    return found


# --- format ----------------------------------------------------------------------------------


@pytest.mark.parametrize("quad", [DIAMOND, DENTED])
@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("way", [1, -1])
def test_corners_are_read_clockwise_from_whichever_on_and_either_way_round(
    quad: tuple[tuple[float, float], ...], start: int, way: int
) -> None:
    written = (quad[start:] + quad[:start])[::way]
    target = read(*written)
    assert sorted(map(tuple, target.corners[0].tolist())) == sorted(quad)
    assert float(areas(target.corners)) > 0
    assert quadrilateral_iou(target.corners, [quad])[0, 0] == pytest.approx(1)
    assert target.categories.tolist() == [1]


def test_null_is_not_annotated_and_an_empty_list_is_no_object() -> None:
    found = read_text(INFO, "0.jpg: null\n1.jpg: []\n")
    nothing = found.target("1.jpg")
    assert found.target("0.jpg") is None
    assert isinstance(nothing, QuadrilateralsTarget)
    assert nothing.corners.shape == (0, 4, 2)
    assert list(found.names) == ["1.jpg"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[{category: cat, quad: [[0, 0], [9, 9], [9, 0], [0, 9]]}]",
         "quadrilateral 1: the outline [0, 0], [9, 9], [9, 0], [0, 9] crosses or touches itself: "
         "write the corners in the order of the outline"),
        ("[{category: cat, quad: [[0, 0], [9, 0], [9, 9], [4, 0]]}]", "crosses or touches itself"),
        ("[{category: cat, quad: [[0, 0], [9, 0], [4, 0], [4, 9]]}]", "crosses or touches itself"),
        ("[{category: cat, quad: [[0, 0], [3, 3], [9, 9], [6, 6]]}]", "corners lie on one line"),
        ("[{category: cat, quad: [[0, 0], [9, 0], [9, 9], [9, 0]]}]",
         "corner [9, 0] is there twice: write four different ones"),
        ("[{category: cat, quad: [[8, 0], [8.0000001, 0], [9, 9], [0, 9]]}]", "[8, 0] is there tw"),
        ("[{category: cat, quad: [[0, 0], [9, 0], [9, 9]]}]", "must be four corners of two"),
        ("[{category: cat, quad: [[0, 0], [9, 0], [9, 9], [0, x]]}]", "must be four corners of"),
        ("[{category: cat, quad: [[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]]}]", "is the first again"),
        ("[{category: cat, quad: [0, 0, 9, 0, 9, 9, 0, 9]}]", "must be four corners of two"),
        ("[{quad: [[0, 0], [9, 0], [9, 9], [0, 9]]}]", "must be {category: ..., quad: [[x, y],"),
        ("[{category: cow, quad: [[0, 0], [9, 0], [9, 9], [0, 9]]}]", "metadata lists cat, dog"),
        ("[cat]", "quadrilateral 1: must be {category: ..., quad: "),
        ("cat", "must be a list of quadrilaterals, [] for none, null if not annotated"),
    ],
)  # fmt: skip
def test_a_quadrilateral_at_odds_with_the_format_is_refused_by_file_line_image_and_entry(
    line: str, says: str
) -> None:
    with pytest.raises(BadData) as caught:
        read_text(INFO, f"1.jpg: []\n0.jpg: {line}\n")
    assert str(caught.value).startswith('annotations.yaml, line 2, "0.jpg": ')
    assert says in str(caught.value)


def test_a_corner_in_the_middle_of_a_side_and_a_dent_are_legal() -> None:
    assert float(areas(read((0, 0), (4, 0), (9, 0), (0, 9)).corners)) == pytest.approx(40.5)
    assert float(areas(read(*DENTED).corners)) > 0


@pytest.mark.parametrize(("far", "fits"), [(24.4, True), (25, False), (-0.4, True), (-1, False)])
def test_a_corner_outside_its_image_is_a_fault(far: float, fits: bool) -> None:
    one = "{category: cat, quad: [[0, 0], [9, 0], [9, 9], [0, 9]]}"
    other = f"{{category: cat, quad: [[{far}, 2], [12, 1], [13, 5], [12, 9]]}}"
    fault = read_text(INFO, f"0.jpg: [{one}, {other}]").fault("0.jpg", 24, 16)
    assert (fault is None) == fits
    if fault:
        assert fault.startswith(
            f'annotations.yaml, "0.jpg", quadrilateral 2: corner [{far:g}, 2] lies outside the '
            "image, which is 24 pixels wide and 16 high: correct it, in pixels from the top left"
        )


# --- target ----------------------------------------------------------------------------------


def test_a_mirrored_quadrilateral_is_the_same_area_mirrored_and_still_clockwise() -> None:
    target = read(*DENTED)
    mirrored = target.mirrored(64)
    wanted = [[(64 - x, y) for x, y in DENTED]]
    assert quadrilateral_iou(mirrored.corners, wanted)[0, 0] == pytest.approx(1)
    torch.testing.assert_close(areas(mirrored.corners), areas(target.corners))
    torch.testing.assert_close(mirrored.mirrored(64).corners, target.corners)


# --- geometry --------------------------------------------------------------------------------

QUADS = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=4, max_size=4, unique=True
)


@given(QUADS)
def test_predictions_and_files_agree_on_which_outlines_have_an_area(
    quad: list[tuple[int, int]],
) -> None:
    text = f"0.jpg: [{{category: cat, quad: {[list(corner) for corner in quad]}}}]"
    try:
        legal = read_text(INFO, text) is not None
    except BadData:
        legal = False
    assert bool(simple(torch.tensor(quad, dtype=torch.float32))) == legal


@given(QUADS, st.integers(0, 3))
def test_what_lies_inside_an_outline_is_its_area_and_not_its_dent(
    quad: list[tuple[int, int]], start: int
) -> None:
    corners = torch.tensor(quad, dtype=torch.float32).roll(start, 0)
    if not simple(corners):
        return
    # Points between those of the grid of corners, each of which stands for its share of the area.
    axis = torch.arange(0, 20, 0.25) + 0.117
    points = torch.cartesian_prod(axis, axis + 0.013)
    share = float(inside(points, corners).sum()) * 0.25**2
    around = float((corners - corners.roll(1, 0)).norm(dim=-1).sum())
    assert share == pytest.approx(float(areas(corners).abs()), abs=0.25 * around + 0.1)


def test_only_points_within_the_outline_learn_it_and_the_nearest_where_none_is() -> None:
    axis = (torch.arange(8) + 0.5) * 8
    points = torch.cartesian_prod(axis, axis)
    for quad, expected in ((turned(50, 14, 45), None), (turned(40, 0.2, 45, 34, 30), 1)):
        truth = Quadrilaterals(
            hulls(quad)[None, None], torch.zeros(1, 1, dtype=torch.int64), [1], quad[None, None]
        )
        whole = hulls(quad).expand(1, 64, 4)
        found = assign(torch.full((1, 64, 1), 0.5), whole, points, truth)
        learning = found.weight[0] > 0
        within = inside(points, quad)
        assert int(learning.sum()) == (expected or min(13, int(within.sum())))
        if expected is None:
            assert within[learning].all()


# --- loss ------------------------------------------------------------------------------------


@given(st.floats(-180, 180), st.integers(0, 3), st.integers(0, 2**31))
def test_the_corner_loss_is_the_same_from_whichever_corner_on(
    degrees: float, start: int, seed: int
) -> None:
    true = turned(30, 20, degrees)
    found = true + torch.randn(4, 2, generator=torch.Generator().manual_seed(seed))
    loss = corner_loss(found, true)
    torch.testing.assert_close(corner_loss(found, true.roll(start, 0)), loss)
    torch.testing.assert_close(corner_loss(found.roll(start, 0), true), loss)
    assert float(corner_loss(true.roll(start, 0), true)) == 0
    assert float(loss) > 0


def test_between_two_labellings_the_loss_is_continuous_and_pulls_to_one_of_them() -> None:
    upright = turned(20, 20, 0)
    losses = [float(corner_loss(upright, turned(20, 20, degrees))) for degrees in (44.99, 45.01)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
    pulls = []
    for degrees in (44.0, 45.0):
        found = upright.clone().requires_grad_()
        corner_loss(found, turned(20, 20, degrees)).backward()  # type: ignore[no-untyped-call]
        assert found.grad is not None
        pulls.append(float(found.grad.norm()))
    assert pulls[1] == pytest.approx(pulls[0], rel=0.1)  # two pulls would cancel each other


@pytest.mark.parametrize("quad", [DIAMOND, DENTED])
def test_either_winding_teaches_the_same_and_something(
    quad: tuple[tuple[float, float], ...],
) -> None:
    taught = []
    for way, start in itertools.product((1, -1), (0, 2)):
        detector = head()
        losses = detector.loss(plain(features()), [read(*(quad[start:] + quad[:start])[::way])])
        loss = losses["quadrilateral"].mean
        loss.backward()  # type: ignore[no-untyped-call]
        gradient = detector.corner.weight.grad
        assert gradient is not None
        assert gradient.isfinite().all()
        assert 0.1 < float(loss.detach()) < 10
        taught.append((loss.detach(), gradient))
    for loss, gradient in taught[1:]:
        torch.testing.assert_close(loss, taught[0][0])
        torch.testing.assert_close(gradient, taught[0][1])
    assert float(taught[0][1].norm()) > 0


# --- prediction ------------------------------------------------------------------------------


def suppressed(corners: Tensor, scores: Tensor) -> QuadrilateralsPrediction:
    return head_module._suppressed(scores, corners)


def test_slanted_neighbours_are_two_detections_though_their_boxes_are_nearly_one() -> None:
    one, other = turned(50, 6, 45, 30, 30), turned(50, 6, 45, 34, 26)
    again = turned(50, 6, 46, 30, 30)
    scores = torch.tensor([[0.9, 0.0], [0.8, 0.0], [0.7, 0.6]])
    found = suppressed(torch.stack((one, other, again)), scores)
    assert quadrilateral_iou(hulls_as_quads(one), hulls_as_quads(other))[0, 0] > NMS_IOU
    assert found.scores.tolist() == pytest.approx([0.9, 0.8, 0.6])
    assert found.categories.tolist() == [0, 0, 1]  # another category is another object


def hulls_as_quads(corners: Tensor) -> Tensor:
    return hulls(corners)[[0, 1, 2, 1, 2, 3, 0, 3]].view(1, 4, 2)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(1, 3))
def test_suppression_some_at_a_time_is_that_of_one_after_the_other(
    seed: int, count: int, categories: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    places = torch.rand(count, 4, generator=generator).tolist()
    corners = torch.stack([turned(20, 9, 180 * a, 60 * b, 60 * c) for a, b, c, _ in places])
    category = torch.tensor([int(categories * last) for *_, last in places])
    outlines = corners.double().numpy()
    alike = quadrilateral_iou(outlines, outlines) > NMS_IOU
    kept: list[int] = []
    for each in range(count):
        if not any(alike[each, k] and category[each] == category[k] for k in kept):
            kept.append(each)
    assert head_module._unlike(outlines, category.numpy()).tolist() == kept


def test_an_image_in_which_nothing_is_found_has_no_detections() -> None:
    found = suppressed(turned(30, 20, 30).expand(5, 4, 2), torch.full((5, 2), 0.01))
    assert found.corners.shape == (0, 4, 2)
    crossed = head()
    with torch.inference_mode():
        assert crossed.corner.bias is not None
        assert crossed.score.bias is not None
        crossed.score.bias.fill_(3.0)
        crossed.corner.bias.copy_(torch.tensor([-2.0, -2, 2, 2, 2, -2, -2, 2]))
        (found,) = crossed.predict(view(features()))
    assert len(found.corners) == 0  # an outline that crosses itself is none


def test_the_metric_asks_neither_for_the_first_corner_nor_for_the_way_round() -> None:
    truth = QuadrilateralsTarget(turned(30, 20, 30)[None], torch.tensor([0]))
    same = QuadrilateralsPrediction(
        truth.corners.flip(1).roll(1, 1), truth.categories, torch.tensor([0.9])
    )
    upright = QuadrilateralsPrediction(
        turned(30, 20, 75)[None], truth.categories, torch.tensor([0.9])
    )
    assert measured(head(), [same], [truth])["map"] == pytest.approx(1)
    assert 0 < measured(head(), [upright], [truth])["map"] < 0.5
    nothing = QuadrilateralsTarget(torch.zeros(0, 4, 2), torch.zeros(0, dtype=torch.int64))
    assert measured(head(), [same], [nothing]) == {}


@pytest.mark.slow
def test_eight_images_are_learnt_by_heart(tmp_path: Path) -> None:
    learnt = digits("quadrilaterals", tmp_path, Task.QUADRILATERAL_DETECTION)
    found = overfitted(learnt.info, learnt.images, learnt.targets, steps=80)
    assert found["map50"] > 0.95
    assert found["map"] > 0.7


# --- pictures --------------------------------------------------------------------------------


def painter() -> QuadrilateralsPainter:
    return QuadrilateralsPainter(head().config)


def test_quadrilaterals_are_drawn_as_outlines() -> None:
    target = QuadrilateralsTarget(turned(30, 20, 45)[None], torch.tensor([1]))
    sure = QuadrilateralsPrediction(target.corners, target.categories, torch.tensor([0.9]))
    unsure = QuadrilateralsPrediction(target.corners, target.categories, torch.tensor([0.1]))
    blank = Image.new("RGB", (64, 64))
    drawn = painter().target(blank.copy(), target)
    assert drawn.getpixel((32, 32)) == (0, 0, 0) != drawn.getpixel((42, 43))
    assert painter().prediction(blank.copy(), sure).tobytes() == drawn.tobytes()
    assert painter().prediction(blank.copy(), unsure).tobytes() == blank.tobytes()


@settings(max_examples=50, deadline=None)
@given(st.data(), st.integers(1, 90), st.integers(1, 90))
def test_what_is_written_is_read_again_in_pixels_of_the_original(
    data: Any, width: int, height: int
) -> None:
    count = data.draw(st.integers(0, 4))
    numbers = st.lists(st.floats(-20, 90, width=32), min_size=8 * count, max_size=8 * count)
    corners = torch.tensor(data.draw(numbers)).view(count, 4, 2)
    scores = torch.tensor(data.draw(st.lists(st.floats(0, 1), min_size=count, max_size=count)))
    prediction = QuadrilateralsPrediction(corners, torch.arange(count) % 2, scores.view(count))
    fit = letterboxing((width, height), (64, 64))
    written = painter().written(prediction, (width, height), fit)
    # What lies within the first pixel only is read as shares of the image.
    assume(not written or max(max(map(max, each["quad"])) for each in written) > 2)
    again = read_back(INFO, written)
    assert isinstance(again, QuadrilateralsTarget)
    assert len(again.corners) == len(written) <= int((scores >= 0.3).sum())
    assert again.corners.numel() == 0 or float(again.corners.min()) >= 0
    placed = again.placed(fit)
    within = turned(12, 8, 20)
    sure = QuadrilateralsPrediction(within[None], torch.tensor([1]), torch.tensor([0.8]))
    if min(width, height) > 40:
        back = read_back(INFO, painter().written(sure, (width, height), fit))
        assert isinstance(back, QuadrilateralsTarget)
        torch.testing.assert_close(back.placed(fit).corners[0], within, atol=0.05, rtol=0)
    assert len(placed.corners) == len(written)
