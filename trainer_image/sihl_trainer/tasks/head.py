"""The contract of a head: config, loss, prediction and metric of one task.

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
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.metric import Metric
from sihl_trainer.tasks.passes import Features, Pass, View, Views
from sihl_trainer.tasks.target import Target

__all__ = ["Features", "Head", "Loss"]


@dataclass(frozen=True, eq=False)
class Loss:
    """A loss whose mean is still to be taken: ranks divide theirs by what all of them have.

    The mean is of the order of one before anything is learnt, so that `lossWeight` means the same
    whatever the task.

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
    passes: ClassVar[frozenset[Pass]] = frozenset((Pass.PLAIN,))
    """What it learns from."""
    examined: ClassVar[frozenset[Pass]] = frozenset((Pass.PLAIN,))
    """What it is validated on."""

    def __init__(self, config: HeadConfig, channels: Mapping[int, int]) -> None:
        super().__init__()
        self.config = config
        self.levels = range(config.levels[0], config.levels[1] + 1)
        missing = [level for level in self.levels if level not in channels]
        if missing:
            raise ValueError(f"head {config.name!r} needs levels {missing}, which nothing gives")

    @classmethod
    def settings(cls, info: HeadInfo) -> dict[str, Any]:
        """What the head keeps of its dataset, as JSON has it; by default its categories."""
        return {"categories": list(info.categories)}

    @classmethod
    @abstractmethod
    def default_levels(cls, channels: Mapping[int, int], has_neck: bool) -> list[int]:
        """First and last level for a head whose spec names none."""

    @abstractmethod
    def loss(self, views: Views, targets: Sequence[Target | None]) -> dict[str, Loss]:
        """Losses by name, of the passes that it wants.

        Images whose target is None are not annotated for this head and count for nothing; where
        none is annotated, the losses are zeros that still hang on the head's weights.
        """

    @abstractmethod
    def predict(self, view: View) -> list[Any]:
        """A prediction for each image of a plain view, in pixels of the input, on the CPU."""

    def examine(self, views: Views) -> list[Any]:
        """What the metric and the pictures are given of each image: by default its prediction."""
        return self.predict(views[Pass.PLAIN])

    @abstractmethod
    def metric(self) -> Metric:
        """What measures the head, before the first image."""
