"""Semantic segmentation: Semantic FPN (Kirillov et al., "Panoptic Feature Pyramid Networks", 2019).

Learnt by cross-entropy and Dice at the input's resolution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.device import of_images
from sihl_trainer.tasks.head import Head, Loss
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.maps.categories import category_losses, likeliest
from sihl_trainer.tasks.maps.palette import ColorInfo
from sihl_trainer.tasks.maps.tower import MapTower, map_levels, per_place
from sihl_trainer.tasks.passes import Pass, View, Views
from sihl_trainer.tasks.semantic_segmentation.metric import CategoryOverlap, SemanticPrediction
from sihl_trainer.tasks.semantic_segmentation.target import SemanticTarget
from sihl_trainer.tasks.target import Target


class SemanticSegmentation(Head):
    """A category for each pixel."""

    task = Task.SEMANTIC_SEGMENTATION

    def __init__(self, config: HeadConfig, channels: Mapping[int, int]) -> None:
        super().__init__(config, channels)
        self.categories = list(config.settings["categories"])
        self.tower = MapTower({level: channels[level] for level in self.levels})
        self.logits = per_place(self.tower.width, len(self.categories))

    @classmethod
    def settings(cls, info: HeadInfo) -> dict[str, Any]:
        """Categories, and the colours that predictions are written in."""
        assert isinstance(info, ColorInfo)
        return info.settings()

    @classmethod
    def default_levels(cls, channels: Mapping[int, int], has_neck: bool) -> list[int]:  # noqa: ARG003
        """The second to the fifth, as far as they are there."""
        return map_levels(channels)

    def loss(self, views: Views, targets: Sequence[Target | None]) -> dict[str, Loss]:
        """Cross-entropy over known pixels, and Dice over images that have some."""
        view = views[Pass.PLAIN]
        features = self.tower(view.features)
        rows = [i for i, target in enumerate(targets) if isinstance(target, SemanticTarget)]
        known = [t.labels for t in targets if isinstance(t, SemanticTarget)]
        blank = torch.zeros(0, *view.images.shape[-2:], dtype=torch.uint8)
        labels = torch.stack(known) if known else blank
        features = of_images(features, rows)
        labels = labels.to(features.device, non_blocking=True)
        return category_losses(features, self.logits, labels, self.tower.stride)

    def predict(self, view: View) -> list[SemanticPrediction]:
        """The likeliest category of each pixel."""
        height, width = view.images.shape[-2:]
        features = self.tower(view.features)
        labels = likeliest(features, self.logits, self.tower.stride, (height, width))
        return [SemanticPrediction(each) for each in labels]

    def metric(self) -> CategoryOverlap:
        """Mean intersection over union, and the share of pixels that are right."""
        return CategoryOverlap(len(self.categories))


HEAD = SemanticSegmentation
