"""Multilabel classification: a label's logit is its mean over all places, and its most at one.

What an image has of a label may be small, and its mean over the image hardly more than nothing:
Zhu and Wu, "Residual Attention" (ICCV 2021), add the mean where the label is likeliest, of which
this is the sharpest form. Learnt by binary cross-entropy, whose probabilities can be thresholded at
a half; the asymmetric loss (Ridnik et al., ICCV 2021) ranks slightly better on large sets, but its
probabilities cannot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.multilabel_classification.metric import (
    LabelPrecision,
    LabelsPrediction,
    present,
)
from sihl_trainer.tasks.multilabel_classification.target import LabelsTarget
from sihl_trainer.tasks.passes import Features, View
from sihl_trainer.tasks.pooled import PooledHead

ATTENTION = 1.0
"""What the likeliest place counts beside the mean of all; the paper has up to 0.4 for networks that
were trained before, whose features already stand out."""
PRIOR = 0.05
"""What every label's probability is at first: most images lack most labels, and from a half the
first steps would be spent on saying so. How frequent each really is need not be counted: a bias
that is wrong by a factor of ten is mended within some steps."""
_AT_FIRST = -PRIOR * math.log(PRIOR) - (1 - PRIOR) * math.log1p(-PRIOR)


class MultilabelClassification(PooledHead[LabelsTarget]):
    """Any number of labels for an image."""

    task = Task.MULTILABEL_CLASSIFICATION
    loss_name = "binary_cross_entropy"
    target_class = LabelsTarget

    def __init__(self, config: HeadConfig, channels: Mapping[int, int]) -> None:
        super().__init__(config, channels)
        self.labels = list(config.settings["categories"])
        self.linear = nn.Linear(self.width, len(self.labels))
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.constant_(self.linear.bias, math.log(PRIOR / (1 - PRIOR)))

    def outputs(self, features: Features) -> Tensor:
        """Logits [B, C]."""
        weight, bias = self.linear.weight, self.linear.bias
        places = F.conv2d(features[self.level], weight[..., None, None]).float().flatten(2)
        return places.mean(2) + ATTENTION * places.amax(2) + bias.float()

    def total(self, outputs: Tensor, targets: Sequence[LabelsTarget]) -> Tensor:
        """The mean over labels of their cross-entropies, summed over images.

        It is in units of what it is at first where labels are as frequent as `PRIOR` says: 0.3
        where images have none of their labels, 5 where they have a third.
        """
        there = present([target.labels for target in targets], len(self.labels))
        truth = there.to(outputs.device, non_blocking=True).float()
        entropy = F.binary_cross_entropy_with_logits(outputs, truth, reduction="sum")
        return entropy / len(self.labels) / _AT_FIRST

    def predict(self, view: View) -> list[LabelsPrediction]:
        """Probabilities for each image."""
        rows = self.outputs(view.features).sigmoid().cpu()
        return [LabelsPrediction(row) for row in rows]

    def metric(self) -> LabelPrecision:
        """Average precision, and F1."""
        return LabelPrecision(len(self.labels))


HEAD = MultilabelClassification
