"""How often the likeliest category is the right one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from sihl_trainer.tasks.metric import Collected, Directions
from sihl_trainer.tasks.multiclass_classification.target import CategoryTarget


@dataclass(frozen=True, eq=False)
class CategoryPrediction:
    """Probabilities float32 [C] of the categories."""

    probabilities: Tensor

    @property
    def category(self) -> int:
        """The likeliest."""
        return int(self.probabilities.argmax())


class Accuracy(Collected):
    """Top-1 accuracy over images, and the mean over categories of F1.

    Args:
        categories: How many there are.
    """

    better: ClassVar[Directions] = {"accuracy": "higher", "f1": "higher"}

    def __init__(self, categories: int) -> None:
        self.categories = categories
        # torchmetrics wants two; of one category every prediction is right with two as well.
        count = max(2, categories)
        super().__init__(
            {
                "accuracy": MulticlassAccuracy(count, average="micro", sync_on_compute=False),
                "f1": MulticlassF1Score(count, average="macro", sync_on_compute=False),
            }
        )

    def update(
        self,
        predictions: Sequence[CategoryPrediction],
        targets: Sequence[CategoryTarget],
        places: Sequence[int],  # noqa: ARG002
    ) -> None:
        """Count images."""
        self.count(
            torch.tensor([prediction.category for prediction in predictions]),
            torch.tensor([target.category for target in targets]),
        )
