"""How well the pixels of each category are found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from torch import Tensor

from sihl_trainer.tasks.measures.confusion import ConfusionMatrix
from sihl_trainer.tasks.metric import Directions, Metric
from sihl_trainer.tasks.semantic_segmentation.target import SemanticTarget


@dataclass(frozen=True, eq=False)
class SemanticPrediction:
    """A map of categories: uint8 (int16 for more than 255) [H, W], their indices plus one."""

    labels: Tensor


class CategoryOverlap(Metric):
    """Intersection over union of each category over the whole dataset, and the mean of these.

    Args:
        categories: How many there are.
    """

    better: ClassVar[Directions] = {"miou": "higher", "pixel_accuracy": "higher"}

    def __init__(self, categories: int) -> None:
        self.confusion = ConfusionMatrix(categories, ignore=-1)

    def update(
        self,
        predictions: Sequence[SemanticPrediction],
        targets: Sequence[SemanticTarget],
        places: Sequence[int],  # noqa: ARG002
    ) -> None:
        """Count the pixels of images that are not to be ignored."""
        for prediction, target in zip(predictions, targets, strict=True):
            true, found = (
                each.labels.numpy().astype(np.int16) - 1 for each in (target, prediction)
            )
            self.confusion.update(true, found)

    def merge(self, other: Self) -> None:
        """Count the other's pixels."""
        self.confusion.merge(other.confusion)

    def compute(self) -> dict[str, float]:
        """miou and pixel_accuracy; nothing where all pixels are to be ignored."""
        return self.confusion.compute()
