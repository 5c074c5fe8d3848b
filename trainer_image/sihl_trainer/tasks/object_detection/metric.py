"""How well boxes are found: COCO's mean average precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from torch import Tensor

from sihl_trainer.tasks.dense.suppression import MAX_DETECTIONS
from sihl_trainer.tasks.measures.average_precision import AveragePrecision
from sihl_trainer.tasks.measures.geometry import box_iou
from sihl_trainer.tasks.metric import Metric
from sihl_trainer.tasks.object_detection.target import BoxesTarget


@dataclass(frozen=True, eq=False)
class BoxesPrediction:
    """Detections of one image, the best first.

    Attributes:
        boxes: float32 [N, 4], xyxy in pixels of the model's input.
        categories: int64 [N].
        scores: float32 [N].
    """

    boxes: Tensor
    categories: Tensor
    scores: Tensor


class BoxPrecision(Metric):
    """Over IoU 0.5 to 0.95, at 0.5, at 0.75, and recall."""

    def __init__(self, categories: int) -> None:
        self.precision = AveragePrecision(categories, max_detections=MAX_DETECTIONS)

    def update(
        self,
        predictions: Sequence[BoxesPrediction],
        targets: Sequence[BoxesTarget],
        places: Sequence[int],
    ) -> None:
        """Count images."""
        for prediction, target, place in zip(predictions, targets, places, strict=True):
            self.precision.update(
                box_iou(prediction.boxes.numpy(), target.boxes.numpy()),
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
