"""Anomaly detection: normal pixels against those of what was blended into normal images.

Schlüter et al., "Natural Synthetic Anomalies", ECCV 2022: from normal images alone. Dense binary
cross-entropy, in which changed and unchanged pixels have the same say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.anomaly_detection.metric import (
    AnomalyPrediction,
    Detectability,
    Examined,
)
from sihl_trainer.tasks.dense.merging import Merging, fine_levels
from sihl_trainer.tasks.head import Head, Loss
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.passes import Features, Pass, View, Views
from sihl_trainer.tasks.target import Target

WIDTH = 64
TOP_SHARE = 0.01
"""An image is as odd as the mean logit over this share of its places, the oddest.

Of logits, as probabilities of what is surely odd are all nearly 1, whether one place is or all are.
"""


class AnomalyDetection(Head):
    """How odd each place of an image is, and how odd the image."""

    task = Task.ANOMALY_DETECTION
    passes = frozenset((Pass.BLENDED,))
    examined = frozenset((Pass.PLAIN, Pass.BLENDED))

    def __init__(self, config: HeadConfig, channels: Mapping[int, int]) -> None:
        super().__init__(config, channels)
        self.merging = Merging(channels, self.levels, WIDTH)
        self.odd = nn.Conv2d(WIDTH, 1, 1)

    @classmethod
    def settings(cls, info: HeadInfo) -> dict[str, Any]:  # noqa: ARG003
        """Nothing."""
        return {}

    @classmethod
    def default_levels(cls, channels: Mapping[int, int], has_neck: bool) -> list[int]:
        """All of a neck's levels, or the backbone's from stride 4 on."""
        return fine_levels(channels, has_neck)

    def _logits(self, features: Features) -> Tensor:
        """float32 [B, 1, h, w], at the finest level's stride."""
        logits: Tensor = self.odd(self.merging(features)).float()
        return logits

    def loss(self, views: Views, targets: Sequence[Target | None]) -> dict[str, Loss]:
        """Cross-entropy of pixels that were changed, and of those that were not.

        All of the blended pass: what tells passes apart, as their batches' statistics do, would
        tell all of the plain images' pixels to be normal, and nothing else would be learnt.
        """
        blended = views[Pass.BLENDED]
        assert blended.changed is not None
        counted = [target is not None for target in targets]
        rows = torch.tensor(counted).to(blended.images.device, non_blocking=True).view(-1, 1, 1)
        size = blended.images.shape[-2:]
        logits = F.interpolate(self._logits(blended.features), size, mode="bilinear")[:, 0]
        changed = (blended.changed & rows).float()
        unchanged = (~blended.changed & rows).float()
        return {
            "changed": Loss((F.softplus(-logits) * changed).sum(), changed.sum()),
            "unchanged": Loss((F.softplus(logits) * unchanged).sum(), unchanged.sum()),
        }

    def predict(self, view: View) -> list[AnomalyPrediction]:
        """A map and a score for each image."""
        logits = self._logits(view.features)[:, 0].cpu()
        flat = logits.flatten(1).double()
        oddest = flat.topk(max(1, round(TOP_SHARE * flat.shape[1])), dim=1).values
        scores = oddest.mean(1).sigmoid().tolist()
        return [AnomalyPrediction(*row) for row in zip(logits.sigmoid(), scores, strict=True)]

    def examine(self, views: Views) -> list[Examined]:
        """What is predicted of the plain image, and of the blended one; and what was changed."""
        blended = views[Pass.BLENDED]
        assert blended.changed is not None
        found = self.predict(blended)
        changed = F.interpolate(blended.changed[:, None].float(), found[0].map.shape, mode="area")
        columns = self.predict(views[Pass.PLAIN]), found, (changed[:, 0] >= 0.5).cpu()
        return [Examined(*row) for row in zip(*columns, strict=True)]

    def metric(self) -> Detectability:
        """Areas under curves against synthetic anomalies, and a threshold."""
        return Detectability()


HEAD = AnomalyDetection
