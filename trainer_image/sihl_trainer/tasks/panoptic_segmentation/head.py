"""Panoptic segmentation: Semantic FPN for all categories, and an instance branch for things.

Kirillov et al., "Panoptic Feature Pyramid Networks", CVPR 2019; the instance branch is CondInst's
(Tian et al., ECCV 2020).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.dense.limit import USUAL_MASKS, limit
from sihl_trainer.tasks.device import of_images
from sihl_trainer.tasks.head import Head, Loss
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.instance_segmentation.target import InstancesTarget
from sihl_trainer.tasks.maps.categories import category_losses, likeliest
from sihl_trainer.tasks.maps.tower import COARSEST, MapTower, per_place
from sihl_trainer.tasks.masks.branch import InstanceBranch
from sihl_trainer.tasks.masks.crops import InstancesPrediction
from sihl_trainer.tasks.masks.segments import objects_of
from sihl_trainer.tasks.object_detection.head import ObjectDetection
from sihl_trainer.tasks.panoptic_segmentation.annotations import PanopticInfo
from sihl_trainer.tasks.panoptic_segmentation.merge import merged
from sihl_trainer.tasks.panoptic_segmentation.metric import PanopticPrediction, SegmentQuality
from sihl_trainer.tasks.panoptic_segmentation.target import PanopticTarget
from sihl_trainer.tasks.passes import Pass, View, Views
from sihl_trainer.tasks.target import Target


class PanopticSegmentation(Head):
    """A category and an object for each pixel."""

    task = Task.PANOPTIC_SEGMENTATION

    def __init__(self, config: HeadConfig, channels: Mapping[int, int]) -> None:
        super().__init__(config, channels)
        self.categories: list[str] = list(config.settings["categories"])
        stuff = set(config.settings["stuff"])
        self.things = [i for i, name in enumerate(self.categories) if name not in stuff]
        last = max(self.levels[0], COARSEST)
        self.tower = MapTower({level: channels[level] for level in self.levels if level <= last})
        self.logits = per_place(self.tower.width, len(self.categories))
        self.instances: InstanceBranch | None = None
        if self.things:
            names = [self.categories[index] for index in self.things]
            own = config.model_copy(update={"settings": config.settings | {"categories": names}})
            self.instances = InstanceBranch(own, channels)

    @classmethod
    def settings(cls, info: HeadInfo) -> dict[str, Any]:
        """Categories, which are stuff, the colours of predictions; how many things there may be."""
        assert isinstance(info, PanopticInfo)
        return info.settings() | limit(info, USUAL_MASKS)

    @classmethod
    def default_levels(cls, channels: Mapping[int, int], has_neck: bool) -> list[int]:
        """Those of a detector."""
        return ObjectDetection.default_levels(channels, has_neck)

    def loss(self, views: Views, targets: Sequence[Target | None]) -> dict[str, Loss]:
        """Those of all categories by pixels and images, and those of things by points.

        Over annotated images.
        """
        view = views[Pass.PLAIN]
        known = [t if isinstance(t, PanopticTarget) else None for t in targets]
        losses = self._semantic_losses(view, known)
        if self.instances is not None:
            things = [None if target is None else self._things(target) for target in known]
            losses |= self.instances.loss(view.features, things)
        return losses

    def _semantic_losses(
        self, view: View, targets: Sequence[PanopticTarget | None]
    ) -> dict[str, Loss]:
        features = self.tower(view.features)
        kept = [row for row, target in enumerate(targets) if target is not None]
        known = [t.to(features.device, non_blocking=True) for t in targets if t is not None]
        blank = features.new_zeros((0, *view.images.shape[-2:]), dtype=torch.uint8)
        count = len(self.categories)
        labels = torch.stack([_labels(t, count) for t in known]) if known else blank
        features = of_images(features, kept)
        return category_losses(features, self.logits, labels, self.tower.stride)

    def _things(self, target: PanopticTarget) -> InstancesTarget:
        """The segments that are things, under the instance branch's indices."""
        index = {category: place for place, category in enumerate(self.things)}
        own = [
            (number, index[category])
            for number, category in enumerate(target.categories.tolist(), start=1)
            if category in index
        ]
        categories = torch.tensor([place for _, place in own], dtype=torch.int64)
        return objects_of(target.segments, [number for number, _ in own], categories, target.size)

    def predict(self, view: View) -> list[PanopticPrediction]:
        """Things painted by score, then stuff where it is likeliest."""
        height, width = view.images.shape[-2:]
        features = self.tower(view.features)
        labels = likeliest(features, self.logits, self.tower.stride, (height, width))
        stuff = set(range(len(self.categories))) - set(self.things)
        if self.instances is None:
            return [merged(_nothing(), each, stuff) for each in labels]
        found = self.instances.detect(view.features, (width, height))
        things = torch.tensor(self.things)
        return [
            merged(
                InstancesPrediction(o.boxes, o.masks, things[o.categories], o.scores), each, stuff
            )
            for o, each in zip(found, labels, strict=True)
        ]

    def metric(self) -> SegmentQuality:
        """Panoptic quality."""
        return SegmentQuality(len(self.categories))


def _labels(target: PanopticTarget, count: int) -> Tensor:
    """Each pixel's category plus one, 0 to ignore: uint8, of over 255 categories int16."""
    kind = torch.uint8 if count < 2**8 else torch.int16
    table = nn.functional.pad(target.categories + 1, (1, 0)).to(kind)
    return table[target.segments.int()]


def _nothing() -> InstancesPrediction:
    return InstancesPrediction(
        torch.zeros((0, 4), dtype=torch.int32),
        [],
        torch.zeros(0, dtype=torch.int64),
        torch.zeros(0),
    )


HEAD = PanopticSegmentation
