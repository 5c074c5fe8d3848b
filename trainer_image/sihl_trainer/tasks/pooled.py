"""What heads share that say one thing of a whole image: the mean of a level's features.

Heads that compare images take the generalized mean (Radenović et al., "Fine-tuning CNN Image
Retrieval with No Human Annotation", TPAMI 2018), which is between the mean and the most: a thing
that fills a part of its image is compared by its own features rather than by those of its ground.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, TypeVar

from torch import Tensor

from sihl_api.record import HeadConfig
from sihl_trainer.tasks.device import of_images
from sihl_trainer.tasks.head import Head, Loss
from sihl_trainer.tasks.passes import Features, Pass, Views
from sihl_trainer.tasks.target import Target

T = TypeVar("T", bound=Target)
POWER = 3
"""Of the generalized mean: 1 would be the mean. Theirs is learnt from 3 on, and stays near it."""
_LEAST = 1e-6  # of a feature, since roots of negative numbers are none; also theirs


def generalized_mean(features: Tensor) -> Tensor:
    """float32 [B, C]: the root of the mean of cubes, of what is positive less of what is negative.

    A backbone's features are never negative; a neck's are, as often as not.

    Args:
        features: [B, C, H, W]; their cubes would not fit into half precision.
    """
    full = features.float()
    return _mean_of_positive(full) - _mean_of_positive(-full)


def _mean_of_positive(features: Tensor) -> Tensor:
    return features.clamp(min=_LEAST).pow(POWER).mean(dim=(2, 3)).pow(1 / POWER)


class PooledHead(Head, Generic[T]):
    """Global average pooling of one level, from which the head's own layer tells its outputs.

    Args:
        config: Name, levels, of which the last is pooled, and settings.
        channels: Of the levels that are there.
    """

    loss_name: ClassVar[str]
    target_class: type[T]

    def __init__(self, config: HeadConfig, channels: Mapping[int, int]) -> None:
        super().__init__(config, channels)
        self.level = config.levels[-1]
        self.width = channels[self.level]

    @classmethod
    def default_levels(cls, channels: Mapping[int, int], has_neck: bool) -> list[int]:  # noqa: ARG003
        """The coarsest level."""
        return [max(channels)] * 2

    def pooled(self, features: Features) -> Tensor:
        """The mean over the level's places, [B, width]."""
        return features[self.level].mean(dim=(2, 3))

    @abstractmethod
    def outputs(self, features: Features) -> Tensor:
        """What the loss is of, float32 [B, ...]; all of the head's weights take part in it."""

    @abstractmethod
    def total(self, outputs: Tensor, targets: Sequence[T]) -> Tensor:
        """The sum over annotated images of their losses, a scalar.

        Args:
            outputs: [N, ...] with N at least 1, of those images.
            targets: N.
        """

    def loss(self, views: Views, targets: Sequence[Target | None]) -> dict[str, Loss]:
        """The one loss, over annotated images."""
        outputs = self.outputs(views[Pass.PLAIN].features)
        kind = self.target_class
        rows = [row for row, target in enumerate(targets) if isinstance(target, kind)]
        amount = outputs.new_full((), float(len(rows)))
        if not rows:
            return {self.loss_name: Loss(outputs[:0].sum(), amount)}
        known = [target for target in targets if isinstance(target, kind)]
        return {self.loss_name: Loss(self.total(of_images(outputs, rows), known), amount)}
