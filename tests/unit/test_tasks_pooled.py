"""What holds for every head that says one thing of a whole image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.head import Head, Loss
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.metric_learning.target import IdentityTarget
from sihl_trainer.tasks.multiclass_classification.target import CategoryTarget
from sihl_trainer.tasks.multilabel_classification.target import LabelsTarget
from sihl_trainer.tasks.regression.annotations import RangeInfo
from sihl_trainer.tasks.regression.target import ValueTarget
from sihl_trainer.tasks.rooms import head_of
from sihl_trainer.tasks.target import Target
from tests.support.heads import plain

BATCH = 6
Typical = Callable[[torch.Generator, int], Target]


def named(task: Task) -> Callable[[int], HeadInfo]:
    return lambda count: HeadInfo(task, tuple(map(str, range(count))))


def one_of(kind: Any) -> Typical:
    return lambda draws, count: kind(int(torch.randint(count, (), generator=draws)))


def some_labels(draws: torch.Generator, count: int) -> LabelsTarget:
    """Up to three, as images of a large set have them."""
    drawn = torch.randint(count, (int(torch.randint(4, (), generator=draws)),), generator=draws)
    return LabelsTarget(torch.tensor(sorted(set(drawn.tolist())), dtype=torch.int64))


def some_value(draws: torch.Generator, count: int) -> ValueTarget:
    return ValueTarget(count * float(torch.rand((), generator=draws)))


TASKS: dict[Task, tuple[Callable[[int], HeadInfo], Typical]] = {
    Task.MULTICLASS_CLASSIFICATION: (
        named(Task.MULTICLASS_CLASSIFICATION),
        one_of(CategoryTarget),
    ),
    Task.MULTILABEL_CLASSIFICATION: (named(Task.MULTILABEL_CLASSIFICATION), some_labels),
    Task.METRIC_LEARNING: (named(Task.METRIC_LEARNING), one_of(IdentityTarget)),
    Task.REGRESSION: (lambda count: RangeInfo(Task.REGRESSION, range=(0.0, count)), some_value),
}


def head(task: Task, count: int) -> Head:
    """A head of so many names, or over a range so wide."""
    torch.manual_seed(0)
    kind = head_of(task)
    settings = kind.settings(TASKS[task][0](count))
    config = HeadConfig(name="head", task=task.value, levels=[4, 5], settings=settings)
    return kind(config, {4: 8, 5: 32})


def features(seed: int) -> dict[int, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return {5: torch.randn(BATCH, 32, 2, 2, generator=draws).relu()}


def targets(task: Task, count: int, seed: int) -> list[Target | None]:
    draws = torch.Generator().manual_seed(seed)
    return [TASKS[task][1](draws, count) for _ in range(BATCH)]


def only(losses: dict[str, Loss]) -> Loss:
    (loss,) = losses.values()
    return loss


@pytest.mark.parametrize("count", [2, 10, 1000])
@pytest.mark.parametrize("task", TASKS)
def test_a_loss_is_of_the_order_of_one_before_anything_is_learnt(task: Task, count: int) -> None:
    loss = only(head(task, count).loss(plain(features(0)), targets(task, count, 0)))
    assert 0.1 < loss.mean.item() < 10


@pytest.mark.parametrize("task", TASKS)
def test_without_an_annotated_image_the_loss_is_zero_and_reaches_all_weights(task: Task) -> None:
    learner = head(task, 10)
    loss = only(learner.loss(plain(features(0)), [None] * BATCH))
    assert loss.mean.item() == loss.amount.item() == 0
    loss.total.backward()  # type: ignore[no-untyped-call]
    for weight in learner.parameters():
        assert weight.grad is not None
        assert (weight.grad == 0).all()


@pytest.mark.parametrize("task", TASKS)
@given(seed=st.integers(0, 1000), shown=st.lists(st.booleans(), min_size=BATCH, max_size=BATCH))
def test_images_without_annotation_count_for_nothing(
    task: Task, seed: int, shown: list[bool]
) -> None:
    learner, seen, known = head(task, 10), features(seed), targets(task, 10, seed)
    some = [target if yes else None for target, yes in zip(known, shown, strict=True)]
    alone = [only(learner.loss(plain({5: seen[5][[i]]}), [some[i]])) for i in range(BATCH)]
    together = only(learner.loss(plain(seen), some))
    assert float(together.amount) == sum(shown)
    torch.testing.assert_close(together.total, torch.stack([each.total for each in alone]).sum())


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("count", [1, 2])
def test_of_one_name_or_two_losses_and_gradients_are_finite(task: Task, count: int) -> None:
    learner = head(task, count)
    loss = only(learner.loss(plain(features(1)), targets(task, count, 1)))
    loss.total.backward()  # type: ignore[no-untyped-call]
    assert loss.total.isfinite()
    assert all(w.grad is not None and w.grad.isfinite().all() for w in learner.parameters())


@pytest.mark.parametrize("task", TASKS)
def test_a_head_that_names_no_level_sees_the_coarsest(task: Task) -> None:
    assert head_of(task).default_levels({3: 8, 4: 8, 7: 8}, True) == [7, 7]
