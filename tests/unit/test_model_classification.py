from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from sihl_api.record import HeadConfig
from sihl_trainer.tasks.multiclass_classification.head import MulticlassClassification
from sihl_trainer.tasks.multiclass_classification.metric import CategoryPrediction
from sihl_trainer.tasks.multiclass_classification.target import CategoryTarget
from tests.support.heads import measured, plain, view


def head(categories: int = 3) -> MulticlassClassification:
    config = HeadConfig(
        name="pet",
        task="MulticlassClassification",
        levels=[5, 5],
        settings={"categories": [str(i) for i in range(categories)]},
    )
    return MulticlassClassification(config, {5: 8})


def test_the_loss_is_the_mean_cross_entropy_of_annotated_images_with_smoothed_labels() -> None:
    classifier, features = head(), {5: torch.randn(4, 8, 2, 3)}
    logits = classifier.linear(features[5].mean((2, 3)))
    found = classifier.loss(plain(features), [CategoryTarget(2), None, CategoryTarget(0), None])
    expected = F.cross_entropy(logits[[0, 2]], torch.tensor([2, 0]), label_smoothing=0.1)
    torch.testing.assert_close(found["cross_entropy"].mean, expected)
    assert found["cross_entropy"].amount == 2


def test_probabilities_sum_to_one_and_the_largest_is_the_category() -> None:
    for found in head().predict(view({5: torch.randn(4, 8, 2, 3)})):
        assert found.probabilities.sum().item() == pytest.approx(1)
        assert found.probabilities[found.category] == found.probabilities.max()


def test_accuracy_counts_images_and_f1_weighs_categories_alike() -> None:
    def surely(category: int) -> CategoryPrediction:
        return CategoryPrediction(F.one_hot(torch.tensor(category), 3).float())

    truth = [CategoryTarget(c) for c in (0, 0, 0, 1, 2)]
    found = measured(head(), [surely(c) for c in (0, 0, 0, 2, 2)], truth)
    assert found["accuracy"] == pytest.approx(0.8)
    assert found["f1"] == pytest.approx((1 + 0 + 2 / 3) / 3)


def test_a_single_category_is_always_right() -> None:
    classifier = head(1)
    predictions = classifier.predict(view({5: torch.randn(2, 8, 1, 1)}))
    found = measured(classifier, predictions, [CategoryTarget(0)] * 2)
    assert found == {"accuracy": 1.0, "f1": 1.0}
