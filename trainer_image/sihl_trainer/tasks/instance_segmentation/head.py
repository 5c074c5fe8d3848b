"""Instance segmentation: a dense detector whose points make filters for masks.

Tian et al., "Conditional Convolutions for Instance Segmentation" (CondInst), ECCV 2020. Masks cost
what the sampled objects cost, however many an image has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.dense.limit import USUAL_MASKS, limit
from sihl_trainer.tasks.head import Head, Loss
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.instance_segmentation.metric import MaskPrecision
from sihl_trainer.tasks.instance_segmentation.target import InstancesTarget
from sihl_trainer.tasks.maps.palette import ColorInfo
from sihl_trainer.tasks.masks.branch import InstanceBranch
from sihl_trainer.tasks.masks.crops import InstancesPrediction
from sihl_trainer.tasks.object_detection.head import ObjectDetection
from sihl_trainer.tasks.passes import Pass, View, Views
from sihl_trainer.tasks.target import Target


class InstanceSegmentation(Head):
    """Objects with categories and masks."""

    task = Task.INSTANCE_SEGMENTATION

    def __init__(self, config: HeadConfig, channels: Mapping[int, int]) -> None:
        super().__init__(config, channels)
        self.instances = InstanceBranch(config, channels)

    @classmethod
    def settings(cls, info: HeadInfo) -> dict[str, Any]:
        """Categories and their colours, in which predictions are written; how many these may be."""
        names = info.settings() if isinstance(info, ColorInfo) else super().settings(info)
        return names | limit(info, USUAL_MASKS)

    @classmethod
    def default_levels(cls, channels: Mapping[int, int], has_neck: bool) -> list[int]:
        """Those of a detector."""
        return ObjectDetection.default_levels(channels, has_neck)

    def loss(self, views: Views, targets: Sequence[Target | None]) -> dict[str, Loss]:
        """The detector's losses by the weight of points, the masks' by the number of sampled ones.

        Over annotated images.
        """
        known = [t if isinstance(t, InstancesTarget) else None for t in targets]
        return self.instances.loss(views[Pass.PLAIN].features, known)

    def predict(self, view: View) -> list[InstancesPrediction]:
        """Detections after non-maximum suppression of their boxes, each with its mask."""
        height, width = view.images.shape[-2:]
        return self.instances.detect(view.features, (width, height))

    def metric(self) -> MaskPrecision:
        """COCO's mean average precision of masks."""
        return MaskPrecision(len(self.config.settings["categories"]))


HEAD = InstanceSegmentation
