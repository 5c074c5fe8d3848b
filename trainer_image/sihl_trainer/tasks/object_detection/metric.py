"""How well boxes are found: COCO's mean average precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from sihl_trainer.tasks.dense.precision import ShapePrecision
from sihl_trainer.tasks.measures.geometry import box_iou
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


class BoxPrecision(ShapePrecision):
    """Over the IoU of boxes."""

    def likeness(self, prediction: BoxesPrediction, target: BoxesTarget) -> NDArray[Any]:
        """IoU [D, G]."""
        return box_iou(prediction.boxes.numpy(), target.boxes.numpy())
