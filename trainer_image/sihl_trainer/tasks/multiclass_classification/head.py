"""Multiclass classification: global average pooling, one linear layer, cross-entropy.

Labels are smoothed (Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016): a tenth of
each is spread over all categories, so that the head is not taught to be surer than annotators are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.device import on_device
from sihl_trainer.tasks.multiclass_classification.metric import Accuracy, CategoryPrediction
from sihl_trainer.tasks.multiclass_classification.target import CategoryTarget
from sihl_trainer.tasks.passes import Features, View
from sihl_trainer.tasks.pooled import PooledHead

SMOOTHING = 0.1


class MulticlassClassification(PooledHead[CategoryTarget]):
    """One category for an image."""

    task = Task.MULTICLASS_CLASSIFICATION
    loss_name = "cross_entropy"
    target_class = CategoryTarget

    def __init__(self, config: HeadConfig, channels: Mapping[int, int]) -> None:
        super().__init__(config, channels)
        self.categories = list(config.settings["categories"])
        self.linear = nn.Linear(self.width, len(self.categories))

    def outputs(self, features: Features) -> Tensor:
        """Logits [B, C]."""
        logits: Tensor = self.linear(self.pooled(features))
        return logits.float()

    def total(self, outputs: Tensor, targets: Sequence[CategoryTarget]) -> Tensor:
        """Cross-entropy with smoothed labels."""
        truth = on_device([target.category for target in targets], outputs)
        return F.cross_entropy(outputs, truth, reduction="sum", label_smoothing=SMOOTHING)

    def predict(self, view: View) -> list[CategoryPrediction]:
        """Probabilities for each image."""
        rows = self.outputs(view.features).softmax(dim=1).cpu()
        return [CategoryPrediction(row) for row in rows]

    def metric(self) -> Accuracy:
        """Top-1 accuracy, and F1."""
        return Accuracy(len(self.categories))


HEAD = MulticlassClassification
