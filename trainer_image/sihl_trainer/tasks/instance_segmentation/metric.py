"""How well objects' masks are found: COCO's mean average precision, over the IoU of masks."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from sihl_trainer.tasks.dense.precision import ShapePrecision
from sihl_trainer.tasks.instance_segmentation.target import InstancesTarget
from sihl_trainer.tasks.masks.crops import InstancesPrediction
from sihl_trainer.tasks.measures.geometry import mask_iou


class MaskPrecision(ShapePrecision):
    """Over the IoU of masks."""

    def likeness(self, prediction: InstancesPrediction, target: InstancesTarget) -> NDArray[Any]:
        """IoU [D, G]."""
        return mask_iou(
            prediction.boxes.numpy(),
            [mask.numpy() for mask in prediction.masks],
            target.boxes.numpy(),
            [mask.bool().numpy() for mask in target.masks()],
        )
