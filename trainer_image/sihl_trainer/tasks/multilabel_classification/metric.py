"""How well the labels of images are told from those that they do not have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from sihl_trainer.tasks.measures.labels import Labels
from sihl_trainer.tasks.metric import Directions, Metric
from sihl_trainer.tasks.multilabel_classification.target import LabelsTarget

THRESHOLD = 0.5
"""A label is taken to be there from this probability on."""


@dataclass(frozen=True, eq=False)
class LabelsPrediction:
    """Probabilities float32 [C] of the labels, each by itself."""

    probabilities: Tensor

    @property
    def labels(self) -> Tensor:
        """int64 [K], those that are there rather than not, ascending."""
        return (self.probabilities >= THRESHOLD).nonzero().flatten()


class LabelPrecision(Metric):
    """The mean over labels of average precision, and F1 over all pairs of an image and a label.

    Args:
        labels: How many there are.
    """

    better: ClassVar[Directions] = {"average_precision": "higher", "f1": "higher"}

    def __init__(self, labels: int) -> None:
        self.labels = labels
        self.measure = Labels(labels, THRESHOLD)

    def update(
        self,
        predictions: Sequence[LabelsPrediction],
        targets: Sequence[LabelsTarget],
        places: Sequence[int],  # noqa: ARG002
    ) -> None:
        """Count images."""
        self.measure.update(
            present([target.labels for target in targets], self.labels).numpy(),
            torch.stack([prediction.probabilities for prediction in predictions]).numpy(),
        )

    def merge(self, other: Self) -> None:
        """Count the other's images."""
        self.measure.merge(other.measure)

    def compute(self) -> dict[str, float]:
        """average_precision and f1; nothing where there is no label at all."""
        return self.measure.compute()


def present(labels: Sequence[Tensor], count: int) -> Tensor:
    """Which of `count` labels each of N images has, bool [N, count]."""
    found = torch.zeros(len(labels), count, dtype=torch.bool)
    for row, own in enumerate(labels):
        found[row, own] = True
    return found
