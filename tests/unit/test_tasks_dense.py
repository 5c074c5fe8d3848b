"""What holds for every dense head, whatever shape its objects have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.dense import assignment
from sihl_trainer.tasks.head import Head
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.keypoint_detection.annotations import KeypointInfo
from sihl_trainer.tasks.keypoint_detection.metric import KeypointsPrediction
from sihl_trainer.tasks.keypoint_detection.target import KeypointsTarget
from sihl_trainer.tasks.object_detection.metric import BoxesPrediction
from sihl_trainer.tasks.object_detection.target import BoxesTarget
from sihl_trainer.tasks.quadrilateral_detection.metric import QuadrilateralsPrediction
from sihl_trainer.tasks.quadrilateral_detection.target import QuadrilateralsTarget
from sihl_trainer.tasks.rooms import head_of
from sihl_trainer.tasks.target import Target
from tests.support.heads import measured, plain, view

INFOS: Mapping[Task, HeadInfo] = {
    Task.OBJECT_DETECTION: HeadInfo(Task.OBJECT_DETECTION, ("cell",)),
    Task.QUADRILATERAL_DETECTION: HeadInfo(Task.QUADRILATERAL_DETECTION, ("cell",)),
    Task.KEYPOINT_DETECTION: KeypointInfo(Task.KEYPOINT_DETECTION, ("a", "b", "c", "d")),
}
EVERY = pytest.mark.parametrize("task", list(INFOS), ids=lambda task: task.value)
LEVELS = (2, 5)
SIDE = 128


def dense_head(task: Task) -> Head:
    torch.manual_seed(0)
    kind = head_of(task)
    config = HeadConfig(
        name="h", task=task.value, levels=list(LEVELS), settings=kind.settings(INFOS[task])
    )
    return kind(config, dict.fromkeys(range(LEVELS[0], LEVELS[1] + 1), 16))


def features(batch: int = 2) -> dict[int, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        level: torch.randn(batch, 16, SIDE >> level, SIDE >> level, generator=generator)
        for level in range(LEVELS[0], LEVELS[1] + 1)
    }


def corners_of(boxes: Tensor) -> Tensor:
    """[N, 4, 2], clockwise from the upper left."""
    return boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].view(-1, 4, 2)


def target(task: Task, boxes: Tensor) -> Target:
    """Objects with these boxes [N, 4]: keypoints and corners at those of the box."""
    kind = torch.zeros(len(boxes), dtype=torch.int64)
    match task:
        case Task.OBJECT_DETECTION:
            return BoxesTarget(boxes, kind)
        case Task.QUADRILATERAL_DETECTION:
            return QuadrilateralsTarget(corners_of(boxes), kind)
        case _:
            visible = torch.ones(len(boxes), 4, dtype=torch.bool)
            return KeypointsTarget(corners_of(boxes), visible, torch.arange(4))


def prediction(task: Task, boxes: Tensor) -> Any:
    kind, scores = torch.zeros(len(boxes), dtype=torch.int64), torch.full((len(boxes),), 0.9)
    match task:
        case Task.OBJECT_DETECTION:
            return BoxesPrediction(boxes, kind, scores)
        case Task.QUADRILATERAL_DETECTION:
            return QuadrilateralsPrediction(corners_of(boxes), kind, scores)
        case _:
            return KeypointsPrediction(corners_of(boxes), torch.ones(len(boxes), 4), scores)


def crowd(count: int = 300) -> Tensor:
    """Boxes [N, 4] of 5 pixels side by side, at most 18 a row: in an image of 128 pixels."""
    number = torch.arange(count)
    x, y = number % 18 * 7.0 + 1, number // 18 * 7.0 + 1
    return torch.stack((x, y, x + 5, y + 5), 1)


NONE = torch.zeros(0, 4)
EDGE_CASES = {
    "nothing": NONE,
    "at every border": torch.tensor([[0.0, 0, 20, 20], [100, 100, 128, 128], [0, 0, 128, 128]]),
    "twenty times as wide as high": torch.tensor([[4.0, 60, 124, 66], [60, 4, 66, 124]]),
    "smaller than a pixel": torch.tensor([[10.2, 10.2, 10.6, 10.6]]),
    "all at one place": torch.tensor([[30.0, 30, 60, 60]] * 5),
    "a crowd": crowd(),
}


def total(head: Head, shown: Mapping[int, Tensor], targets: list[Target | None]) -> Tensor:
    losses = [loss.mean for loss in head.loss(plain(shown), targets).values()]
    return torch.stack(losses).sum()


@EVERY
def test_before_anything_is_learnt_a_loss_is_of_the_order_of_one(task: Task) -> None:
    head = dense_head(task)
    some = torch.tensor([[10.0, 12, 40, 50], [60, 30, 90, 70], [20, 80, 60, 120]])
    losses = head.loss(plain(features()), [target(task, some), target(task, some[1:])])
    whole = sum(float(loss.mean.detach()) for loss in losses.values())
    assert 0.1 < whole < 10
    assert all(float(loss.mean.detach()) < 10 for loss in losses.values())


@EVERY
@pytest.mark.parametrize("case", EDGE_CASES)
def test_a_loss_is_finite_whatever_an_image_shows_and_reaches_every_weight(
    task: Task, case: str
) -> None:
    head = dense_head(task)
    loss = total(head, features(), [target(task, EDGE_CASES[case]), target(task, NONE)])
    loss.backward()  # type: ignore[no-untyped-call]
    assert 0 < float(loss.detach()) < 20
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


@EVERY
def test_images_that_are_not_annotated_count_for_nothing(task: Task) -> None:
    head, shown = dense_head(task), features(3)
    some = target(task, torch.tensor([[10.0, 12, 40, 50]]))
    beside = total(head, shown, [None, some, None])
    alone = total(head, {level: each[1:2] for level, each in shown.items()}, [some])
    torch.testing.assert_close(beside, alone)
    nothing = total(head, shown, [None, None, None])
    nothing.backward()  # type: ignore[no-untyped-call]
    assert float(nothing.detach()) == 0
    assert all(p.grad is not None and not p.grad.any() for p in head.parameters())


@EVERY
def test_half_precision_features_give_a_loss_in_full_precision(task: Task) -> None:
    head, shown = dense_head(task), features()
    targets: list[Target | None] = [target(task, crowd(9)), target(task, NONE)]
    full = total(head, shown, targets)
    with torch.autocast("cpu", torch.bfloat16):
        half = total(head, shown, targets)
    half.backward()  # type: ignore[no-untyped-call]
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.05)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes how many numbers the largest tensor has that is made meanwhile."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for each in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(each, Tensor):
                self.numel = max(self.numel, each.numel())
        return made


@EVERY
def test_a_crowd_is_not_held_against_all_points_at_once(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = sum((SIDE >> level) ** 2 for level in range(LEVELS[0], LEVELS[1] + 1))
    limit = 160_000  # what learns by samples has as much for its few, however many there are
    assert 300 * points > 2 * limit
    monkeypatch.setattr(assignment, "_PAIRS", limit // 4)
    head = dense_head(task)
    with Largest() as largest:
        head.loss(plain(features(1)), [target(task, crowd())])
    assert largest.numel <= limit


@EVERY
def test_three_hundred_objects_of_an_image_can_all_be_found_and_are_all_measured(
    task: Task,
) -> None:
    found, truth = prediction(task, crowd()), target(task, crowd())
    result = measured(dense_head(task), [found], [truth])
    assert result["map"] == pytest.approx(1)
    assert result["mar100"] == pytest.approx(1)


@EVERY
def test_a_head_that_takes_everything_for_an_object_gives_three_hundred_at_most(
    task: Task,
) -> None:
    head = dense_head(task)
    assert isinstance(head.score, torch.nn.Conv2d)
    assert head.score.bias is not None
    with torch.inference_mode():
        head.score.bias.fill_(3.0)
        found = head.predict(view(features()))[0]
    assert 0 < len(found.scores) <= 300
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    shapes = {Task.OBJECT_DETECTION: "boxes", Task.KEYPOINT_DETECTION: "points"}
    places = getattr(found, shapes.get(task, "corners"))
    assert places.min() >= 0
    assert places.max() <= SIDE
