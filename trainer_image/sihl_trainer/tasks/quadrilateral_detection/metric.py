"""How well quadrilaterals are found: average precision over the overlap of their areas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from sihl_trainer.tasks.dense.precision import ShapePrecision
from sihl_trainer.tasks.measures.geometry import quadrilateral_iou
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


class QuadrilateralPrecision(ShapePrecision):
    """Over the IoU of areas; which corner comes first is no matter."""

    def likeness(
        self, prediction: QuadrilateralsPrediction, target: QuadrilateralsTarget
    ) -> NDArray[Any]:
        """IoU [D, G]."""
        return quadrilateral_iou(prediction.corners.numpy(), target.corners.numpy())
