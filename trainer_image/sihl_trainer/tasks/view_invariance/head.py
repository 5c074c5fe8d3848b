"""View invariance: pooled features of two views of an image, projected, are to be the same.

What is learnt is VICReg's loss (Bardes et al., ICLR 2022; see `regularization`), of features that
are pooled by the generalized mean (Radenović et al., TPAMI 2018; see `tasks.pooled`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.device import of_images
from sihl_trainer.tasks.head import Head, Loss
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.passes import Features, Pass, View, Views
from sihl_trainer.tasks.pooled import generalized_mean
from sihl_trainer.tasks.target import Target
from sihl_trainer.tasks.view_invariance.metric import TwoViews, ViewAgreement
from sihl_trainer.tasks.view_invariance.regularization import losses

HIDDEN = 512
EMBEDDING = 256


class ViewInvariance(Head):
    """An embedding for an image that another crop or other colours leave as it is.

    What others are to use, and what is predicted, are the pooled features; the projector is for
    the loss, which makes it forget more than is good for them (Chen et al., "SimCLR", 4.2).
    """

    task = Task.VIEW_INVARIANCE
    passes = frozenset((Pass.PLAIN, Pass.SECOND_VIEW))
    examined = passes

    def __init__(self, config: HeadConfig, channels: Mapping[int, int]) -> None:
        super().__init__(config, channels)
        self.width = sum(channels[level] for level in self.levels)
        # By image, not by batch: one image is a batch too, and no running statistic is moved.
        self.projector = nn.Sequential(
            nn.Linear(self.width, HIDDEN, bias=False),
            nn.LayerNorm(HIDDEN),
            nn.ReLU(inplace=True),
            nn.Linear(HIDDEN, HIDDEN, bias=False),
            nn.LayerNorm(HIDDEN),
            nn.ReLU(inplace=True),
            nn.Linear(HIDDEN, EMBEDDING),
        )

    @classmethod
    def settings(cls, info: HeadInfo) -> dict[str, Any]:  # noqa: ARG003
        """Nothing."""
        return {}

    @classmethod
    def default_levels(cls, channels: Mapping[int, int], has_neck: bool) -> list[int]:
        """All of a neck's levels, side by side, or the backbone's coarsest."""
        return [min(channels) if has_neck else max(channels), max(channels)]

    def _pooled(self, features: Features) -> Tensor:
        """float32 [B, C]: the generalized mean over places, level beside level."""
        return torch.cat([generalized_mean(features[level]) for level in self.levels], 1)

    def _projected(self, pooled: Tensor) -> Tensor:
        """float32 [B, E]: in bfloat16, covariances of small batches would drown."""
        with torch.autocast(pooled.device.type, enabled=False):
            projected: Tensor = self.projector(pooled)
        return projected

    def loss(self, views: Views, targets: Sequence[Target | None]) -> dict[str, Loss]:
        """Invariance, variance and covariance of the projections of both views."""
        rows = [i for i, target in enumerate(targets) if target is not None]
        both = [
            of_images(self._projected(self._pooled(views[each].features)), rows)
            for each in (Pass.PLAIN, Pass.SECOND_VIEW)
        ]
        with torch.autocast(both[0].device.type, enabled=False):
            return losses(both[0], both[1])

    def predict(self, view: View) -> list[Tensor]:
        """The pooled features of each image, float32 [C]."""
        return list(self._pooled(view.features).cpu())

    def examine(self, views: Views) -> list[TwoViews]:
        """Both views' features and projections, and the second view to look at."""
        plain, second = views[Pass.PLAIN], views[Pass.SECOND_VIEW]
        pooled = [self._pooled(view.features) for view in (plain, second)]
        projected = [self._projected(each).cpu() for each in pooled]
        cosine = F.cosine_similarity(pooled[0], pooled[1]).cpu()
        looks = second.images.round().to(torch.uint8).cpu()
        columns = (pooled[0].cpu(), *projected, cosine, looks)
        return [TwoViews(*row) for row in zip(*columns, strict=True)]

    def metric(self) -> ViewAgreement:
        """Effective rank, likeness of views, and whether they find each other."""
        return ViewAgreement(EMBEDDING)


HEAD = ViewInvariance
