from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.pooled import generalized_mean
from sihl_trainer.tasks.target import ImageTarget
from sihl_trainer.tasks.view_invariance.head import ViewInvariance
from sihl_trainer.tasks.view_invariance.metric import EffectiveRank, TwoViews, ViewAgreement
from sihl_trainer.tasks.view_invariance.regularization import losses
from tests.support.heads import view
from tests.support.overfit import digits, overfitted


def agreement(plain: Tensor, other: Tensor) -> dict[str, float]:
    metric = ViewAgreement(plain.shape[1])
    cosine, second = torch.ones(()), torch.zeros(3, 1, 1, dtype=torch.uint8)
    rows = [TwoViews(a, a, b, cosine, second) for a, b in zip(plain, other, strict=True)]
    metric.update(rows, [ImageTarget()] * len(rows), range(len(rows)))
    return metric.compute()


def test_views_that_are_alike_and_spread_evenly_leave_nothing_to_learn() -> None:
    signs = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]) * 0.9
    found = losses(signs, signs)
    assert float(found["invariance"].mean) == 0
    assert float(found["covariance"].mean) == pytest.approx(0)
    assert float(found["variance"].mean) == 0  # deviations of more than one are enough


def test_embeddings_that_are_all_the_same_are_driven_apart() -> None:
    same = torch.zeros(8, 4, requires_grad=True)
    apart = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)) * 1e-3 + same
    found = losses(apart, apart)
    assert found["variance"].mean.item() == pytest.approx(1, abs=0.02)
    found["variance"].mean.backward()  # type: ignore[no-untyped-call]
    assert same.grad is not None
    assert (same.grad * (apart - apart.mean(0))).sum() < 0


def test_dimensions_that_say_the_same_cost_covariance() -> None:
    column = torch.tensor([[1.0], [-1], [2], [-2]])
    found = losses(column.expand(-1, 3), column.expand(-1, 3))
    variance = float(column.var())
    # Six places of each matrix, over three dimensions, in two views, at a 25th.
    assert float(found["covariance"].mean) == pytest.approx(2 * 6 * variance**2 / 3 / 25)


def test_a_single_image_is_held_against_itself_only() -> None:
    found = losses(torch.ones(1, 4), torch.zeros(1, 4))
    assert float(found["invariance"].mean) == 1
    assert float(found["variance"].amount) == float(found["covariance"].amount) == 0
    assert float(found["variance"].total) == float(found["covariance"].total) == 0


@given(st.integers(2, 30), st.integers(2, 8), st.integers(0, 10**6))
def test_effective_rank_is_rankmes_of_the_whole_matrix(count: int, width: int, seed: int) -> None:
    rows = np.random.default_rng(seed).normal(1, 2, (count, width))
    metric = EffectiveRank(width)
    metric.update(rows[:1])
    metric.update(rows[1:])
    values = np.linalg.svd(rows, compute_uv=False)
    shares = values / values.sum() + 1e-7
    expected = np.exp(-(shares * np.log(shares)).sum())
    assert metric.compute()["effective_rank"] == pytest.approx(expected, rel=1e-4)


def test_rank_counts_the_directions_that_are_used() -> None:
    metric = EffectiveRank(8)
    metric.update(np.eye(8)[:3])
    assert metric.compute()["effective_rank"] == pytest.approx(3, rel=1e-3)
    assert EffectiveRank(8).compute()["effective_rank"] == 0


def test_views_find_each_other_where_embeddings_tell_images_apart() -> None:
    apart = torch.eye(4)
    found = agreement(apart, apart + 0.1)
    assert found["recall1"] == 1
    assert found["alignment"] > 0.9
    assert found["contrast"] == pytest.approx(found["alignment"])  # different images: cosine 0


def test_embeddings_that_have_collapsed_find_nothing() -> None:
    found = agreement(torch.ones(4, 4), torch.ones(4, 4))
    assert found["recall1"] == 0
    assert found["alignment"] == pytest.approx(1)
    assert found["contrast"] == pytest.approx(0)


def test_the_prediction_is_the_generalized_mean_of_each_level_one_beside_the_other() -> None:
    config = HeadConfig(name="h", task="ViewInvariance", levels=[3, 4], settings={})
    features = {3: torch.randn(2, 5, 4, 4), 4: torch.randn(2, 7, 2, 2)}
    found = ViewInvariance(config, {3: 5, 4: 7}).predict(view(features))
    expected = torch.cat([generalized_mean(feature) for feature in features.values()], 1)
    torch.testing.assert_close(torch.stack(found), expected)


@pytest.mark.slow
def test_second_views_of_eight_images_find_their_own(tmp_path: Path) -> None:
    shown = digits("unlabelled", tmp_path, Task.VIEW_INVARIANCE, size=32)
    found = overfitted(shown.info, shown.images, shown.targets, steps=100)
    assert found["recall1"] > 0.5  # of sixteen views; one in fifteen would by chance
    assert found["contrast"] > 0.3
    assert found["effective_rank"] > 5
