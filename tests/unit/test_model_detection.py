from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import box_iou, generalized_box_iou_loss

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.data.letterbox import letterboxing
from sihl_trainer.tasks.dense import assignment
from sihl_trainer.tasks.dense.assignment import TOP_K, Assignment, Objects, assign
from sihl_trainer.tasks.dense.overlap import giou_loss, pairwise_iou
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.object_detection.head import ObjectDetection, _suppressed
from sihl_trainer.tasks.object_detection.metric import BoxesPrediction
from sihl_trainer.tasks.object_detection.picture import BoxesPainter
from sihl_trainer.tasks.object_detection.target import BoxesTarget
from tests.support.formats import read_back
from tests.support.heads import measured, plain, view

NOTHING = BoxesTarget(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))


def grid(side: int, stride: int) -> Tensor:
    axis = (torch.arange(side) + 0.5) * stride
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack((x, y), -1).reshape(-1, 2)


def boxes_strategy(most: int) -> st.SearchStrategy[list[tuple[float, float, float, float]]]:
    corner = st.floats(0, 60, width=32)
    length = st.floats(0.5, 40, width=32)
    return st.lists(st.tuples(corner, corner, length, length), max_size=most)


def as_boxes(found: list[tuple[float, float, float, float]]) -> Tensor:
    sized = torch.tensor(found).reshape(-1, 4)
    return torch.cat((sized[:, :2], sized[:, :2] + sized[:, 2:]), 1)


def assigned(truth: Tensor, seed: int, padding: int = 0, categories: int = 3) -> Assignment:
    """Of one image with an 8 x 8 grid of points, stride 8, and random predictions."""
    generator = torch.Generator().manual_seed(seed)
    points = grid(8, 8)
    scores = torch.rand(1, 64, categories, generator=generator)
    half = 2 + 20 * torch.rand(64, 2, generator=generator)
    boxes = torch.cat((points - half, points + half), 1)[None]
    count = len(truth)
    category = torch.randint(0, categories, (1, count + padding), generator=generator)
    padded = torch.cat((truth, torch.zeros(padding, 4)))[None]
    return assign(scores, boxes, points, Objects(padded, category, [count]))


@given(boxes_strategy(5), boxes_strategy(5))
def test_overlap_is_torchvisions_for_a_whole_batch(
    one: list[tuple[float, float, float, float]], other: list[tuple[float, float, float, float]]
) -> None:
    a, b = as_boxes(one), as_boxes(other)
    found = pairwise_iou(torch.stack((a, a + 1)), torch.stack((b, b)))
    torch.testing.assert_close(found[0], box_iou(a, b))
    torch.testing.assert_close(found[1], box_iou(a + 1, b))


@given(boxes_strategy(5), boxes_strategy(5))
def test_the_loss_of_boxes_is_torchvisions_with_all_its_gradients(
    one: list[tuple[float, float, float, float]], other: list[tuple[float, float, float, float]]
) -> None:
    count = min(len(one), len(other))
    boxes, truth = as_boxes(one)[:count].requires_grad_(), as_boxes(other)[:count]
    ours, theirs = giou_loss(boxes, truth), generalized_box_iou_loss(boxes, truth)
    torch.testing.assert_close(ours, theirs)
    mine, its = (torch.autograd.grad(loss.sum(), boxes)[0] for loss in (ours, theirs))
    torch.testing.assert_close(mine, its)


@settings(max_examples=60)
@given(boxes_strategy(6), st.integers(0, 1000), st.integers(0, 3))
def test_what_points_learn_keeps_to_the_rules_of_the_assignment(
    found: list[tuple[float, float, float, float]], seed: int, padding: int
) -> None:
    truth = as_boxes(found)
    result = assigned(truth, seed, padding)
    learning = result.weight[0] > 0
    # A point learns one category, by as much as it learns a box.
    assert ((result.scores[0] > 0).sum(1) <= 1).all()
    torch.testing.assert_close(result.scores[0].sum(1), result.weight[0])
    assert (result.weight <= 1 + 1e-5).all()
    # Each learns one of the objects, no padding, and no object more points than the best k.
    own = result.boxes[0][learning]
    if len(truth) == 0:
        assert not learning.any()
    else:
        matches = (own[:, None] == truth[None]).all(2)
        assert matches.any(1).all()
        unique = torch.unique(truth, dim=0)
        if len(unique) == len(truth):
            assert (matches.sum(0) <= TOP_K).all()


def test_the_best_aligned_point_learns_its_overlap_and_others_less() -> None:
    points = grid(4, 8)
    truth = torch.tensor([[[4.0, 4.0, 28.0, 28.0]]])
    boxes = truth[0].expand(16, 4).clone()
    boxes[:, 2] += torch.arange(16.0)  # the further on, the worse
    scores = torch.full((1, 16, 2), 0.5)
    result = assign(scores, boxes[None], points, Objects(truth, torch.tensor([[1]]), [1]))
    learning = result.weight[0].nonzero().flatten().tolist()
    # Points at 12 and 20 pixels lie inside; 4 and 28 are its very border.
    assert learning == [5, 6, 9, 10]
    overlaps = pairwise_iou(truth, boxes[None])[0, 0]
    assert float(result.weight[0, 5]) == pytest.approx(float(overlaps[5]))
    weights = result.weight[0, learning].tolist()
    assert weights == sorted(weights, reverse=True)
    assert (result.scores[0, :, 0] == 0).all()


@pytest.mark.parametrize("pairs", [1, 200, 700])
def test_a_dense_image_is_assigned_some_objects_at_a_time_and_as_if_all_at_once(
    monkeypatch: pytest.MonkeyPatch, pairs: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    points, counts = grid(8, 8), [30, 2, 0, 5]
    half = 2 + 20 * torch.rand(4, 64, 2, generator=generator)
    boxes = torch.cat((points - half, points + half), 2)
    scores = torch.rand(4, 64, 3, generator=generator)
    corner = 60 * torch.rand(4, 30, 2, generator=generator)
    truth = torch.cat((corner, corner + 1 + 30 * torch.rand(4, 30, 2, generator=generator)), 2)
    category = torch.randint(0, 3, (4, 30), generator=generator)
    shown = Objects(truth, category, counts)
    whole = assign(scores, boxes, points, shown)
    compared: list[int] = []

    def counted(one: Tensor, other: Tensor) -> Tensor:
        found = pairwise_iou(one, other)
        compared.append(found.numel())
        return found

    monkeypatch.setattr(assignment, "_PAIRS", pairs)
    monkeypatch.setattr(assignment, "pairwise_iou", counted)
    parts = assign(scores, boxes, points, shown)
    assert max(compared) <= max(pairs, 4 * 64)  # at least one object of each image
    torch.testing.assert_close(parts.scores, whole.scores)
    torch.testing.assert_close(parts.weight, whole.weight)
    learning = whole.weight > 0
    assert torch.equal(parts.boxes[learning], whole.boxes[learning])


def test_an_object_between_all_points_is_learnt_by_the_nearest() -> None:
    result = assigned(torch.tensor([[15.0, 15.0, 16.5, 16.5]]), seed=0)
    assert result.weight[0].nonzero().flatten().tolist() == [9]


def head(categories: int = 2, levels: tuple[int, int] = (3, 4)) -> ObjectDetection:
    torch.manual_seed(0)
    config = HeadConfig(
        name="boxes",
        task="ObjectDetection",
        levels=list(levels),
        settings={"categories": [str(i) for i in range(categories)]},
    )
    return ObjectDetection(config, {3: 16, 4: 16})


def features(batch: int, seed: int = 0) -> dict[int, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        level: torch.randn(batch, 16, 64 >> level, 64 >> level, generator=generator)
        for level in (3, 4)
    }


def bias(layer: torch.nn.Conv2d) -> Tensor:
    """The bias that a layer has."""
    assert layer.bias is not None
    return layer.bias


def test_a_box_is_its_points_distances_in_strides() -> None:
    detector = head()
    with torch.no_grad():
        detector.box.weight.zero_()
        bias(detector.box).copy_(torch.log(torch.tensor([1.0, 2.0, 3.0, 0.5])))
    dense = detector.dense(features(1))
    boxes, points = dense.boxes, dense.points
    assert points[0].tolist() == [4, 4]
    assert points[64].tolist() == [8, 8]
    torch.testing.assert_close(boxes[0, 0], torch.tensor([-4.0, -12.0, 28.0, 8.0]))
    torch.testing.assert_close(boxes[0, 64], torch.tensor([-8.0, -24.0, 56.0, 16.0]))


def test_at_first_nearly_everything_is_background() -> None:
    logits = head().dense(features(2)).logits
    assert float(logits.detach().sigmoid().mean()) == pytest.approx(0.01, rel=0.2)


def test_an_image_without_objects_teaches_background_only() -> None:
    detector = head()
    losses = {k: v.mean for k, v in detector.loss(plain(features(2)), [NOTHING, NOTHING]).items()}
    assert float(losses["classification"]) > 0
    assert float(losses["box"]) == 0
    sum(losses.values()).backward()  # type: ignore[union-attr]
    gradients = [p.grad for p in detector.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)


def test_predicted_boxes_that_are_huge_or_tiny_leave_gradients_finite() -> None:
    detector = head()
    target = BoxesTarget(torch.tensor([[10.0, 10.0, 30.0, 30.0]]), torch.tensor([0]))
    for value in (-60.0, 60.0):
        with torch.no_grad():
            bias(detector.box).fill_(value)
        detector.zero_grad()
        losses = detector.loss(plain(features(2)), [target, NOTHING])
        sum(loss.mean for loss in losses.values()).backward()  # type: ignore[union-attr]
        assert all(p.grad is not None and p.grad.isfinite().all() for p in detector.parameters())


def test_images_of_a_batch_are_assigned_each_by_itself() -> None:
    detector = head()
    some = BoxesTarget(torch.tensor([[5.0, 5, 30, 28], [40, 40, 60, 62]]), torch.tensor([0, 1]))
    one = BoxesTarget(torch.tensor([[20.0, 8, 44, 60]]), torch.tensor([1]))
    dense = detector.dense(features(3))
    logits, boxes, points = dense.logits.detach(), dense.boxes.detach(), dense.points
    truth = torch.zeros(3, 2, 4)
    truth[0], truth[1, 0] = some.boxes, one.boxes[0]
    category = torch.zeros(3, 2, dtype=torch.int64)
    category[0], category[1, 0] = some.categories, 1
    together = assign(logits.sigmoid(), boxes, points, Objects(truth, category, [2, 1, 0]))
    for row, target in ((0, some), (1, one), (2, NOTHING)):
        single = assign(
            logits[row : row + 1].sigmoid(), boxes[row : row + 1], points,
            Objects(target.boxes[None], target.categories[None], [len(target.boxes)]),
        )  # fmt: skip
        torch.testing.assert_close(single.scores[0], together.scores[row])
        learning = single.weight[0] > 0
        torch.testing.assert_close(single.boxes[0][learning], together.boxes[row][learning])


def test_overlapping_boxes_of_one_category_are_one_detection_and_of_two_are_two() -> None:
    boxes = torch.tensor([[0.0, 0, 20, 20], [1, 0, 21, 20], [40, 40, 60, 60]])
    scores = torch.tensor([[0.9, 0.0], [0.8, 0.7], [0.01, 0.3]])
    found = _suppressed(scores, boxes)
    assert found.scores.tolist() == pytest.approx([0.9, 0.7, 0.3])
    assert found.categories.tolist() == [0, 1, 1]
    assert found.boxes.tolist() == boxes.tolist()


def test_detections_lie_within_the_input_the_best_first() -> None:
    detector = head()
    with torch.no_grad():
        bias(detector.score).fill_(3.0)
    for found in detector.predict(view(features(2))):
        assert 0 < len(found.boxes) <= 100
        assert found.boxes.min() >= 0
        assert found.boxes.max() <= 64
        assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)


def test_the_metrics_are_those_of_coco() -> None:
    truth = BoxesTarget(torch.tensor([[0.0, 0, 20, 20], [30, 30, 50, 50]]), torch.tensor([0, 1]))
    perfect = BoxesPrediction(truth.boxes, truth.categories, torch.tensor([0.9, 0.8]))
    # IoU 0.8: right at the thresholds 0.5 to 0.8, which are 7 of 10.
    near = BoxesPrediction(truth.boxes * 1.0, truth.categories, torch.tensor([0.9, 0.8]))
    near.boxes[:, 3] -= 4
    none = BoxesPrediction(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0))
    detector = head()
    assert measured(detector, [perfect], [truth]) == pytest.approx(
        {"map": 1, "map50": 1, "map75": 1, "mar100": 1}
    )
    found = measured(detector, [near], [truth])
    assert found["map50"] == pytest.approx(1)
    assert found["map"] == pytest.approx(0.7, abs=0.11)
    assert set(measured(detector, [none], [truth]).values()) == {0}
    assert measured(detector, [none], [NOTHING]) == {}


@given(boxes_strategy(4), st.integers(1, 90), st.integers(1, 90))
def test_what_is_written_is_read_again_in_pixels_of_the_original(
    boxes: list[tuple[float, float, float, float]], width: int, height: int
) -> None:
    found = as_boxes(boxes)  # some of them in the padding
    prediction = BoxesPrediction(
        found, torch.arange(len(found)) % 2, torch.full((len(found),), 0.9)
    )
    fit = letterboxing((width, height), (64, 64))
    painter = BoxesPainter(head().config)
    written = painter.written(prediction, (width, height), fit)
    # What lies within the first pixel only is read as shares of the image.
    assume(not written or max(max(each["bbox"]) for each in written) > 2)
    again = read_back(HeadInfo(Task.OBJECT_DETECTION, tuple(painter.categories)), written)
    assert isinstance(again, BoxesTarget)
    inside = fit.placement.invert(found).view(-1, 2, 2).clamp(min=0)
    inside = inside.minimum(torch.tensor([float(width), float(height)])).view(-1, 4)
    inside = inside[(inside[:, 2:] - inside[:, :2] >= 0.02).all(1)]
    near = (again.boxes[:, None] - inside).abs().amax(2) < 0.011  # rounded to hundredths
    assert near.any(0).all()
    assert len(again.boxes) == len(written) <= len(found)


@pytest.mark.slow
def test_the_head_learns_to_find_what_it_is_shown() -> None:
    detector = head()
    shown = features(2, seed=4)
    targets = [
        BoxesTarget(torch.tensor([[5.0, 5, 30, 28], [40, 38, 60, 62]]), torch.tensor([0, 1])),
        BoxesTarget(torch.tensor([[20.0, 8, 44, 60]]), torch.tensor([1])),
    ]
    optimizer = torch.optim.AdamW(detector.parameters(), lr=5e-3)
    for _ in range(150):
        total = sum(loss.mean for loss in detector.loss(plain(shown), targets).values())
        optimizer.zero_grad()
        total.backward()  # type: ignore[union-attr]
        optimizer.step()
    with torch.inference_mode():
        found = measured(detector, detector.predict(view(shown)), targets)
    assert found["map50"] == pytest.approx(1)
    assert not math.isnan(found["map"])
    assert found["map"] > 0.7
