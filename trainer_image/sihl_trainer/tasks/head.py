"""The contract of a head: config, targets, loss, prediction and metrics of one task.

The training loop, the checkpoint and the supervisor know no task: all that they need is here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.target import HeadInfo, Target

Features = Mapping[int, Tensor]
"""By level, [B, C_i, H_i, W_i]."""


@dataclass(frozen=True, eq=False)
class Loss:
    """A loss whose mean is still to be taken: ranks divide theirs by what all of them have.

    Attributes:
        total: A scalar, the sum.
        amount: A scalar without gradient, of what: images, say, or weights of points.
    """

    total: Tensor
    amount: Tensor

    @property
    def mean(self) -> Tensor:
        """A scalar; where there is nothing, the sum."""
        return self.total / self.amount.clamp(min=1)


class Head(nn.Module, ABC):
    """One task on a range of levels.

    Args:
        config: Name, levels and settings: enough to build the head without its dataset.
        channels: Of the levels that are there.
    """

    task: ClassVar[Task]

    def __init__(self, config: HeadConfig, channels: Mapping[int, int]) -> None:
        super().__init__()
        self.config = config
        self.levels = range(config.levels[0], config.levels[1] + 1)
        missing = [level for level in self.levels if level not in channels]
        if missing:
            raise ValueError(f"head {config.name!r} needs levels {missing}, which nothing gives")

    @classmethod
    def settings(cls, info: HeadInfo) -> dict[str, Any]:
        """What the head keeps of its dataset; by default its categories."""
        return {"categories": list(info.categories)}

    @classmethod
    @abstractmethod
    def default_levels(cls, channels: Mapping[int, int], has_neck: bool) -> list[int]:
        """First and last level for a head whose spec names none."""

    @abstractmethod
    def loss(self, features: Features, targets: Sequence[Target | None]) -> dict[str, Loss]:
        """Losses by name.

        Images whose target is None are not annotated for this head and count for nothing; where
        none is annotated, the losses are zeros that still hang on the head's weights.
        """

    @abstractmethod
    def predict(self, features: Features) -> list[Any]:
        """A prediction for each image, in pixels of the model's input, on the CPU."""

    @abstractmethod
    def evaluate(self, predictions: Sequence[Any], targets: Sequence[Target]) -> dict[str, float]:
        """Metrics by name over a whole validation set; targets on the CPU."""
