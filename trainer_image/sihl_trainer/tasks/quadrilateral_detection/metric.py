"""How well quadrilaterals are found: average precision over the overlap of their areas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from torch import Tensor

from sihl_trainer.tasks.dense.suppression import MAX_DETECTIONS
from sihl_trainer.tasks.measures.average_precision import AveragePrecision
from sihl_trainer.tasks.measures.geometry import quadrilateral_iou
from sihl_trainer.tasks.metric import Metric
from sihl_trainer.tasks.quadrilateral_detection.target import QuadrilateralsTarget


@dataclass(frozen=True, eq=False)
class QuadrilateralsPrediction:
    """Detections of one image, the best first.

    Attributes:
        corners: float32 [N, 4, 2], x, y in pixels of the model's input, from any corner on.
        categories: int64 [N].
        scores: float32 [N].
    """

    corners: Tensor
    categories: Tensor
    scores: Tensor


class QuadrilateralPrecision(Metric):
    """Over IoU 0.5 to 0.95, at 0.5, at 0.75, and recall; which corner comes first is no matter."""

    def __init__(self, categories: int) -> None:
        self.precision = AveragePrecision(categories, max_detections=MAX_DETECTIONS)

    def update(
        self,
        predictions: Sequence[QuadrilateralsPrediction],
        targets: Sequence[QuadrilateralsTarget],
        places: Sequence[int],
    ) -> None:
        """Count images."""
        for prediction, target, place in zip(predictions, targets, places, strict=True):
            self.precision.update(
                quadrilateral_iou(prediction.corners.numpy(), target.corners.numpy()),
                prediction.scores.numpy(),
                prediction.categories.numpy(),
                target.categories.numpy(),
                image=place,
            )

    def merge(self, other: Self) -> None:
        """Count the other's images."""
        self.precision.merge(other.precision)

    def compute(self) -> dict[str, float]:
        """map, map50, map75 and mar100; 0 where there is no object at all."""
        return self.precision.compute()
