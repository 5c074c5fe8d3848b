"""How well shapes with categories are found: COCO's mean average precision over their likeness."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from numpy.typing import NDArray

from sihl_trainer.tasks.measures.average_precision import AveragePrecision
from sihl_trainer.tasks.metric import Directions, Metric


class ShapePrecision(Metric):
    """Over likenesses of 0.5 to 0.95, at 0.5, at 0.75, and recall.

    Predictions and targets have `categories` int64 [N], predictions `scores` float32 [N] as well.

    Args:
        categories: How many there are.
    """

    better: ClassVar[Directions] = {
        "map": "higher",
        "map50": "higher",
        "map75": "higher",
        "mar100": "higher",
    }

    def __init__(self, categories: int) -> None:
        # All that the head gives count: how many these are at most is its own setting.
        self.precision = AveragePrecision(categories, max_detections=None)

    @abstractmethod
    def likeness(self, prediction: Any, target: Any) -> NDArray[Any]:
        """float [D, G] within 0 to 1: how alike the D predicted and the G true shapes are."""

    def update(
        self, predictions: Sequence[Any], targets: Sequence[Any], places: Sequence[int]
    ) -> None:
        """Count images."""
        for prediction, target, place in zip(predictions, targets, places, strict=True):
            self.precision.update(
                self.likeness(prediction, target),
                prediction.scores.numpy(),
                prediction.categories.numpy(),
                target.categories.numpy(),
                image=place,
            )

    def merge(self, other: Self) -> None:
        """Count the other's images."""
        self.precision.merge(other.precision)

    def compute(self) -> dict[str, float]:
        """map, map50, map75 and mar100; nothing where there is no object at all."""
        return self.precision.compute()
