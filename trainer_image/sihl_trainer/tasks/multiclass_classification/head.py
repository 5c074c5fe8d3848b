"""Multiclass classification: global average pooling, one linear layer, cross-entropy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.head import Features, Head, Loss
from sihl_trainer.tasks.multiclass_classification.target import CategoryTarget
from sihl_trainer.tasks.target import Target


@dataclass(frozen=True, eq=False)
class CategoryPrediction:
    """Probabilities float32 [C] of the categories."""

    probabilities: Tensor

    @property
    def category(self) -> int:
        """The likeliest."""
        return int(self.probabilities.argmax())


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

    def loss(self, features: Features, targets: Sequence[Target | None]) -> dict[str, Loss]:
        """Cross-entropy over annotated images."""
        logits = self._logits(features).float()
        rows = [i for i, target in enumerate(targets) if isinstance(target, CategoryTarget)]
        amount = logits.new_full((), float(len(rows)))
        if not rows:
            return {"cross_entropy": Loss(logits.sum() * 0, amount)}
        wanted = [t.category for t in targets if isinstance(t, CategoryTarget)]
        truth = torch.tensor(wanted).to(logits.device, non_blocking=True)
        if len(rows) < len(targets):
            logits = logits[rows]
        return {"cross_entropy": Loss(F.cross_entropy(logits, truth, reduction="sum"), amount)}

    def predict(self, features: Features) -> list[CategoryPrediction]:
        """Probabilities for each image."""
        rows = self._logits(features).float().softmax(dim=1).cpu()
        return [CategoryPrediction(row) for row in rows]

    def evaluate(
        self, predictions: Sequence[CategoryPrediction], targets: Sequence[Target]
    ) -> dict[str, float]:
        """Top-1 accuracy over images, and the mean over categories of F1."""
        rows = torch.stack([prediction.probabilities for prediction in predictions])
        truth = torch.tensor([t.category for t in targets if isinstance(t, CategoryTarget)])
        count = len(self.categories)
        if count == 1:
            return {"accuracy": 1.0, "f1": 1.0}
        return {
            "accuracy": float(multiclass_accuracy(rows, truth, count, average="micro")),
            "f1": float(multiclass_f1_score(rows, truth, count, average="macro")),
        }


HEAD = MulticlassClassification
