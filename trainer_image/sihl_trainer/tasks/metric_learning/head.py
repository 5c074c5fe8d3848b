"""Metric learning: pooled features as embeddings, whose projection is learnt by CosFace.

Pooling is by the generalized mean (Radenović et al., TPAMI 2018; see `tasks.pooled`).

Projections and a prototype of each identity have length one. A softmax over their cosines, from
which the right one has a margin taken off, is what learns (Wang et al., "CosFace", CVPR 2018); its
scale follows from the number of identities (Zhang et al., "AdaCos", CVPR 2019). Losses of this
family hardly differ when they are tuned alike (Musgrave et al., ECCV 2020).

The projection is for the loss alone, as in Khosla et al., "Supervised Contrastive Learning",
NeurIPS 2020: it keeps what tells the training's identities apart and forgets the rest, by which
new identities are told apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.device import on_device
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.metric_learning.metric import EmbeddingPrediction, IdentityRetrieval
from sihl_trainer.tasks.metric_learning.target import IdentityTarget
from sihl_trainer.tasks.passes import Features, View
from sihl_trainer.tasks.pooled import PooledHead, generalized_mean

DIMENSION = 128
MARGIN = 0.35
LEAST_SCALE = 4.0
"""AdaCos' scale falls to 0 for two identities, at which nothing could be told apart."""


class MetricLearning(PooledHead[IdentityTarget]):
    """Embeddings that are near where the identity is the same."""

    task = Task.METRIC_LEARNING
    loss_name = "cosface"
    target_class = IdentityTarget

    def __init__(self, config: HeadConfig, channels: Mapping[int, int]) -> None:
        super().__init__(config, channels)
        self.identities = list(config.settings["categories"])
        self.dimension = int(config.settings["dimension"])
        self.linear = nn.Linear(self.width, self.dimension)
        self.prototypes = nn.Parameter(torch.randn(len(self.identities), self.dimension))
        self.scale = scale(len(self.identities))

    @classmethod
    def settings(cls, info: HeadInfo) -> dict[str, Any]:
        """The training set's identities, and how long projections are."""
        return {"categories": list(info.categories), "dimension": DIMENSION}

    def pooled(self, features: Features) -> Tensor:
        """float32 [B, width]: the generalized mean over the level's places."""
        return generalized_mean(features[self.level])

    def embeddings(self, features: Features) -> Tensor:
        """float32 [B, width], of length one: what images are compared by."""
        return F.normalize(self.pooled(features), dim=1)

    def projections(self, features: Features) -> Tensor:
        """float32 [B, dimension], of length one: what the loss is of."""
        return F.normalize(self.linear(self.pooled(features)).float(), dim=1)

    def outputs(self, features: Features) -> Tensor:
        """Cosines to all prototypes, float32 [B, C]."""
        return self._cosines(self.projections(features))

    def total(self, outputs: Tensor, targets: Sequence[IdentityTarget]) -> Tensor:
        """CosFace, in units of what it is where all cosines are 0.

        Of a single identity it is 0: there is nothing to tell it from.
        """
        truth = on_device([target.identity for target in targets], outputs)
        count = len(self.identities)
        logits = self.scale * (outputs - MARGIN * F.one_hot(truth, count))
        at_first = math.log1p((count - 1) * math.exp(self.scale * MARGIN))
        return F.cross_entropy(logits, truth, reduction="sum") / max(at_first, 1.0)

    def predict(self, view: View) -> list[EmbeddingPrediction]:
        """An embedding for each image, and the identity that its projection is nearest to."""
        embeddings = self.embeddings(view.features)
        similarity, identity = self.outputs(view.features).max(dim=1)
        rows = zip(embeddings.cpu(), identity.tolist(), similarity.tolist(), strict=True)
        return [EmbeddingPrediction(*row) for row in rows]

    def metric(self) -> IdentityRetrieval:
        """Retrieval among the validation images."""
        return IdentityRetrieval(self.width)

    def _cosines(self, projections: Tensor) -> Tensor:
        # At half precision cosines near 1, of which the best matches are, would all be the same.
        with torch.autocast(projections.device.type, enabled=False):
            return projections @ F.normalize(self.prototypes.float(), dim=1).T


def scale(identities: int) -> float:
    """What cosines are multiplied by before the softmax: AdaCos' fixed scale, sqrt(2) log(C - 1).

    With it the softmax is neither flat nor saturated halfway between the worst and the best cosine.
    """
    return max(LEAST_SCALE, math.sqrt(2) * math.log(max(1, identities - 1)))


HEAD = MetricLearning
