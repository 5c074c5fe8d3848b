"""How well objects' masks are found: COCO's mean average precision, over the IoU of masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from sihl_trainer.tasks.instance_segmentation.target import InstancesTarget
from sihl_trainer.tasks.masks.crops import InstancesPrediction
from sihl_trainer.tasks.measures.average_precision import AveragePrecision
from sihl_trainer.tasks.measures.geometry import mask_iou
from sihl_trainer.tasks.metric import Metric


class MaskPrecision(Metric):
    """Over IoU 0.5 to 0.95, at 0.5, at 0.75, and recall."""

    def __init__(self, categories: int) -> None:
        self.precision = AveragePrecision(categories)

    def update(
        self,
        predictions: Sequence[InstancesPrediction],
        targets: Sequence[InstancesTarget],
        places: Sequence[int],
    ) -> None:
        """Count images."""
        for prediction, target, place in zip(predictions, targets, places, strict=True):
            likeness = mask_iou(
                prediction.boxes.numpy(),
                [mask.numpy() for mask in prediction.masks],
                target.boxes.numpy(),
                [mask.bool().numpy() for mask in target.masks()],
            )
            self.precision.update(
                likeness,
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
