"""Multiclass classification: global average pooling, one linear layer, cross-entropy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.head import Head, Loss
from sihl_trainer.tasks.multiclass_classification.metric import Accuracy, CategoryPrediction
from sihl_trainer.tasks.multiclass_classification.target import CategoryTarget
from sihl_trainer.tasks.passes import Features, Pass, View, Views
from sihl_trainer.tasks.target import Target


class MulticlassClassification(Head):
    """One category for an image."""

    task = Task.MULTICLASS_CLASSIFICATION

    def __init__(self, config: HeadConfig, channels: Mapping[int, int]) -> None:
        super().__init__(config, channels)
        self.level = config.levels[-1]
        self.categories = list(config.settings["categories"])
        self.linear = nn.Linear(channels[self.level], len(self.categories))

    @classmethod
    def default_levels(cls, channels: Mapping[int, int], has_neck: bool) -> list[int]:  # noqa: ARG003
        """The coarsest level."""
        return [max(channels)] * 2

    def _logits(self, features: Features) -> Tensor:
        logits: Tensor = self.linear(features[self.level].mean(dim=(2, 3)))  # [B, C]
        return logits

    def loss(self, views: Views, targets: Sequence[Target | None]) -> dict[str, Loss]:
        """Cross-entropy over annotated images."""
        logits = self._logits(views[Pass.PLAIN].features).float()
        rows = [i for i, target in enumerate(targets) if isinstance(target, CategoryTarget)]
        amount = logits.new_full((), float(len(rows)))
        if not rows:
            return {"cross_entropy": Loss(logits.sum() * 0, amount)}
        wanted = [t.category for t in targets if isinstance(t, CategoryTarget)]
        truth = torch.tensor(wanted).to(logits.device, non_blocking=True)
        if len(rows) < len(targets):
            logits = logits[rows]
        return {"cross_entropy": Loss(F.cross_entropy(logits, truth, reduction="sum"), amount)}

    def predict(self, view: View) -> list[CategoryPrediction]:
        """Probabilities for each image."""
        rows = self._logits(view.features).float().softmax(dim=1).cpu()
        return [CategoryPrediction(row) for row in rows]

    def metric(self) -> Accuracy:
        """Top-1 accuracy, and F1."""
        return Accuracy(len(self.categories))


HEAD = MulticlassClassification
