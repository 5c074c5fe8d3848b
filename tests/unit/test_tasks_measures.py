from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from torchmetrics.detection import PanopticQuality as TorchmetricsPanopticQuality
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_jaccard_index
from torchmetrics.functional.regression import r2_score, spearman_corrcoef
from torchmetrics.functional.text import char_error_rate

from sihl_trainer.tasks.measures.average_precision import AveragePrecision
from sihl_trainer.tasks.measures.base import Measure
from sihl_trainer.tasks.measures.confusion import ConfusionMatrix
from sihl_trainer.tasks.measures.depth import DepthErrors
from sihl_trainer.tasks.measures.labels import Labels
from sihl_trainer.tasks.measures.panoptic import PanopticQuality
from sihl_trainer.tasks.measures.retrieval import Retrieval
from sihl_trainer.tasks.measures.roc import BinnedRoc, Roc
from sihl_trainer.tasks.measures.scalar import Regression
from sihl_trainer.tasks.measures.text import TextErrors, edit_distance

M = TypeVar("M", bound=Measure)
seeds = st.integers(0, 10**6)


def updated(measure: M, batches: Sequence[tuple[Any, ...]]) -> M:
    for batch in batches:
        measure.update(*batch)  # type: ignore[attr-defined]  # each kind has its own
    return measure


def maps(generator: np.random.Generator, values: int, count: int = 1) -> list[NDArray[Any]]:
    return [generator.integers(0, values, (12, 12)) for _ in range(count)]


def panoptic_image(generator: np.random.Generator) -> tuple[NDArray[Any], ...]:
    """Blocks of segments, of which the prediction has most right."""
    true = [np.kron(generator.integers(0, 3, (4, 4)), np.ones((3, 3), int)) for _ in range(2)]
    wrong = generator.random((12, 12)) < generator.uniform(0, 0.5)
    found = [np.where(wrong, generator.integers(0, 3, (12, 12)), layer) for layer in true]
    void = np.kron(generator.random((4, 4)) < 0.3, np.ones((3, 3), int)).astype(bool)
    return (*true, *found, void)


def text(generator: np.random.Generator) -> str:
    return "".join(generator.choice(list("abc"), generator.integers(0, 8)))


Batches = Callable[[np.random.Generator], tuple[Any, ...]]
KINDS: dict[str, tuple[Callable[[], Measure], Batches]] = {
    "confusion": (lambda: ConfusionMatrix(4), lambda g: tuple(maps(g, 4, 2))),
    "panoptic": (lambda: PanopticQuality(3), panoptic_image),
    "retrieval": (lambda: Retrieval(5), lambda g: (g.normal(size=(4, 5)), g.integers(0, 4, 4))),
    "depth": (DepthErrors, lambda g: tuple(10 * g.random((2, 5, 5)))),
    "regression": (Regression, lambda g: tuple(g.integers(0, 9, (2, 4)))),
    "roc": (Roc, lambda g: (g.random(5) < 0.5, g.integers(0, 4, 5) / 4)),
    "binned roc": (BinnedRoc, lambda g: (g.random((3, 3)) < 0.5, g.random((3, 3)))),
    "labels": (lambda: Labels(3), lambda g: (g.random((4, 3)) < 0.4, g.integers(0, 4, (4, 3)) / 4)),
    "text": (TextErrors, lambda g: (text(g), text(g))),
}


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=20)
@given(seed=seeds, cut=st.integers(0, 6))
def test_ranks_that_are_merged_measure_what_one_would(kind: str, seed: int, cut: int) -> None:
    make, batch = KINDS[kind]
    generator = np.random.default_rng(seed)
    batches = [batch(generator) for _ in range(6)]
    whole = updated(make(), batches).compute()
    generator.shuffle(batches)
    first, second = updated(make(), batches[:cut]), updated(make(), batches[cut:])
    first, second = pickle.loads(pickle.dumps((first, second)))
    alone = copy.deepcopy(second).compute()
    first.merge(second)
    assert first.compute() == pytest.approx(whole, abs=1e-5)
    assert second.compute() == alone


@pytest.mark.parametrize(
    "make", [make for make, _ in KINDS.values()] + [lambda: AveragePrecision(2)]
)
def test_what_has_seen_nothing_has_no_results(make: Callable[[], Measure]) -> None:
    assert make().compute() == {}


@pytest.mark.parametrize("kind", ["confusion", "panoptic", "depth", "binned roc", "text"])
def test_what_is_measured_on_maps_and_texts_does_not_grow(kind: str) -> None:
    make, batch = KINDS[kind]
    generator = np.random.default_rng(0)
    measure = updated(make(), [batch(generator)])
    size = len(pickle.dumps(measure))
    assert len(pickle.dumps(updated(measure, [batch(generator) for _ in range(9)]))) == size


@given(seeds, st.integers(2, 6))
def test_overlap_of_classes_is_torchmetrics_where_pixels_are_ignored(seed: int, used: int) -> None:
    generator = np.random.default_rng(seed)
    true, predicted = generator.integers(0, used, (2, 8, 8))
    true[generator.random((8, 8)) < 0.3] = 255
    found = updated(ConfusionMatrix(6), [(true, torch.tensor(predicted))]).compute()
    pair = torch.tensor(predicted), torch.tensor(true)
    jaccard = multiclass_jaccard_index(*pair, num_classes=6, ignore_index=255)
    accuracy = multiclass_accuracy(*pair, num_classes=6, ignore_index=255, average="micro")
    assert found["miou"] == pytest.approx(float(jaccard), abs=1e-6)
    assert found["pixel_accuracy"] == pytest.approx(float(accuracy), abs=1e-6)


def test_each_class_has_its_overlap_and_an_absent_one_does_not_count() -> None:
    measure = updated(ConfusionMatrix(4), [([0, 0, 1, 255], [0, 1, 1, 3])])
    assert measure.iou().tolist() == [0.5, 0.5, 0, 0]
    assert measure.compute()["miou"] == 0.5


@pytest.mark.parametrize("pair", [([4], [0]), ([0], [4]), ([-1], [0])])
def test_a_class_that_there_is_not_is_refused(pair: tuple[list[int], list[int]]) -> None:
    with pytest.raises(ValueError, match="is none of the 4"):
        ConfusionMatrix(4).update(*pair)


@settings(deadline=None, max_examples=40)
@given(seeds, st.booleans(), st.sampled_from([1, 1 << 24]))
def test_panoptic_quality_is_torchmetrics(seed: int, some_void: bool, step: int) -> None:
    generator = np.random.default_rng(seed)
    measure, categories = PanopticQuality(3), {0, 1, 2}
    theirs = TorchmetricsPanopticQuality(categories, set(), allow_unknown_preds_category=True)
    for _ in range(2):
        true, true_id, found, found_id, void = panoptic_image(generator)
        void &= some_void
        measure.update(true, true_id * step, found, found_id * step, void)
        target = np.stack((np.where(void, 9, true), true_id), -1)
        theirs.update(
            torch.tensor(np.stack((found, found_id), -1))[None],
            _void_as_unknown(torch.tensor(target)[None], theirs.void_color),
        )
    result = measure.compute()
    assert result["pq"] == pytest.approx(float(theirs.compute()), abs=1e-6)


def _void_as_unknown(target: torch.Tensor, color: tuple[int, int]) -> torch.Tensor:
    target[target[..., 0] == 9] = torch.tensor(color)
    return target


def test_a_segment_mostly_on_void_is_no_mistake_and_void_is_in_no_union() -> None:
    true, zero = np.array([0, 0, 0, 0, 0, 0]), np.zeros(6, int)
    void = np.array([False, False, False, True, True, True])
    # Segment 1 fits but for void; 2 lies on void only by half: a mistake; 3 by more: none.
    cases = {(1, 1, 1, 1, 1, 1): (1, 0), (1, 1, 2, 2, 1, 1): (1, 1), (1, 1, 3, 3, 3, 1): (1, 0)}
    for identity, (matches, mistakes) in cases.items():
        measure = updated(PanopticQuality(1), [(true, zero, zero, identity, void)])
        assert measure.totals[1:, 0].tolist() == [matches, mistakes, 0]
    whole = updated(PanopticQuality(1), [(true, zero, zero, np.ones(6, int), void)])
    assert whole.compute() == {"pq": 1.0, "sq": 1.0, "rq": 1.0}


def test_where_nothing_is_predicted_each_segment_is_missed() -> None:
    nowhere = np.full(4, -1)
    update = ([0, 0, 1, 1], [0, 1, 0, 0], nowhere, nowhere, np.zeros(4, bool))
    assert updated(PanopticQuality(2), [update]).totals[1:].tolist() == [[0, 0], [0, 0], [2, 1]]


@settings(deadline=None, max_examples=40)
@given(seeds, st.integers(2, 30))
def test_retrieval_is_what_its_definition_says(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    embeddings = generator.normal(size=(count, 3)).astype(np.float32)
    identities = generator.integers(0, 6, count)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    results = []
    for query in range(count):
        gallery = [i for i in range(count) if i != query]
        gallery.sort(key=lambda i: -float(unit[query] @ unit[i]))
        relevant = identities[gallery] == identities[query]
        if r := int(relevant.sum()):
            top = relevant[:r]
            precision = np.cumsum(top) / np.arange(1, r + 1)
            results.append((float(top[0]), top.mean(), (precision * top).sum() / r))
    wanted = np.mean(results, axis=0) if results else []
    found = updated(Retrieval(3), [(embeddings, identities)]).compute()
    np.testing.assert_allclose(list(found.values()), wanted, atol=1e-5)


def test_embeddings_that_are_all_the_same_find_nothing() -> None:
    same = np.ones((40, 16), np.float32)
    found = updated(Retrieval(16), [(same, np.arange(40) // 4)]).compute()
    assert set(found.values()) == {0.0}


def test_a_lone_image_is_no_query_but_stands_in_the_way_of_others() -> None:
    embeddings = [[1.0, 0], [0.9, 0.1], [-1, 0.5], [0.95, 0.05]]
    found = updated(Retrieval(2), [(embeddings, [0, 0, 1, 2])]).compute()
    assert found["recall1"] == 0.0
    assert updated(Retrieval(2), [(embeddings[:3], [0, 0, 1])]).compute()["map_r"] == 1.0


def test_depth_errors_are_means_over_pixels_with_a_true_depth() -> None:
    true, predicted = np.array([[1.0, 2.0, 0.0, 4.0]]), np.array([[1.1, 3.0, 9.0, 4.0]])
    found = updated(
        DepthErrors(), [(true, predicted), (np.zeros((2, 2)), np.ones((2, 2)))]
    ).compute()
    error = np.log([1.1, 1.5, 1])
    assert found == pytest.approx(
        {
            "abs_rel": (0.1 + 0.5) / 3,
            "rmse": math.sqrt((0.1**2 + 1) / 3),
            "delta1": 2 / 3,
            "silog": 100 * math.sqrt((error**2).mean() - error.mean() ** 2),
        }
    )


def test_silog_forgives_each_image_its_scale_and_absurd_depths_stay_finite() -> None:
    true = np.random.default_rng(0).uniform(1, 9, (2, 5, 5))
    scaled = updated(DepthErrors(), [(true[0], 3 * true[0]), (true[1], true[1] / 2)]).compute()
    assert scaled["silog"] == pytest.approx(0, abs=1e-5)
    tiny = updated(DepthErrors(), [(np.full(3, 1e-7), np.full(3, 1.1e-7))]).compute()
    assert tiny["abs_rel"] == pytest.approx(0.1)  # in a unit far too large
    absurd = np.array([0.0, -1, math.nan, math.inf, -math.inf])
    assert all(
        map(math.isfinite, updated(DepthErrors(), [(np.ones(5), absurd)]).compute().values())
    )


@given(seeds, st.integers(3, 20))
def test_regression_is_torchmetrics(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    true = generator.integers(-5, 6, count).astype(np.float32)
    true[:2] = -6, 6
    predicted = np.round(true + generator.normal(0, 3, count)).astype(np.float32)
    predicted[:2] = -20, 20
    found = updated(Regression(), [(true, predicted)]).compute()
    pair = torch.tensor(predicted), torch.tensor(true)
    assert found["r2"] == pytest.approx(float(r2_score(*pair)), abs=1e-4)
    assert found["spearman"] == pytest.approx(float(spearman_corrcoef(*pair)), abs=1e-4)
    assert found["mae"] == pytest.approx(np.abs(predicted - true).mean(), rel=1e-5)
    assert found["rmse"] == pytest.approx(np.sqrt(np.square(predicted - true).mean()), rel=1e-5)
    assert found["mae_of_mean"] == pytest.approx(np.abs(true - true.mean()).mean(), rel=1e-5)


def test_errors_are_small_beside_values_that_are_large() -> None:
    seconds = 1_700_000_000 + np.arange(4)  # since 1970: single precision has steps of 128
    found = updated(Regression(), [(seconds, seconds + 0.5)]).compute()
    assert found["mae"] == found["rmse"] == 0.5
    assert found["r2"] == pytest.approx(0.8)
    alike = np.array([0.0, 1e-200])  # whose variance is none
    assert "r2" not in updated(Regression(), [(alike, alike)]).compute()


def test_a_constant_leaves_no_correlation_and_no_variance_to_explain() -> None:
    constant, varied = np.full(7, 0.1), np.arange(7)
    found = updated(Regression(), [(constant, varied)]).compute()
    assert "r2" not in found
    assert "spearman" not in found
    assert found["mae_of_mean"] == 0.0
    assert "spearman" not in updated(Regression(), [(varied, constant)]).compute()


@settings(deadline=None)
@given(seeds, st.integers(2, 40), st.sampled_from([Roc, lambda: BinnedRoc(64)]))
def test_areas_under_curves_are_scikit_learns_with_ties(
    seed: int, count: int, make: Callable[[], Measure]
) -> None:
    generator = np.random.default_rng(seed)
    positive = generator.random(count) < 0.4
    positive[:2] = False, True
    scores = generator.integers(0, 8, count) / 8
    found = updated(make(), [(positive, scores)]).compute()
    assert found["auroc"] == pytest.approx(roc_auc_score(positive, scores))
    assert found["average_precision"] == pytest.approx(average_precision_score(positive, scores))


def test_bins_tell_scores_apart_to_their_width() -> None:
    generator = np.random.default_rng(0)
    positive = generator.random(20_000) < 0.1
    scores = generator.normal(0.4 + 0.2 * positive, 0.15)  # some are out of the range
    exact, binned = (updated(kind(), [(positive, scores)]).compute() for kind in (Roc, BinnedRoc))
    assert binned == pytest.approx(exact, abs=2e-3)


@pytest.mark.parametrize("make", [Roc, BinnedRoc])
def test_without_one_side_a_curve_has_no_area(make: type[Roc] | type[BinnedRoc]) -> None:
    scores = [0.2, 0.9]
    none, only = ([False, False], scores), ([True, True], scores)
    assert updated(make(), [none]).compute() == {}
    assert updated(make(), [only]).compute() == {"average_precision": 1.0}


@given(st.text("abc", max_size=9), st.text("abc", min_size=1, max_size=9))
def test_character_errors_are_torchmetrics(predicted: str, true: str) -> None:
    found = updated(TextErrors(), [(true, predicted)]).compute()
    assert found["character_error_rate"] == pytest.approx(float(char_error_rate(predicted, true)))
    assert found["exact_match"] == float(predicted == true)


@given(st.text("abc", max_size=6), st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_edits_are_a_distance(a: str, b: str, c: str) -> None:
    assert edit_distance(a, b) == edit_distance(b, a)
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)
