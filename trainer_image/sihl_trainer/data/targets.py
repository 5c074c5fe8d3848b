"""What an image's annotation becomes for a head: one class a task.

A target knows how to follow its image through letterboxing and mirroring, so that neither the
dataset nor the training loop needs to know any task.

Here and in what else the fetch imports, torch is imported where a tensor is made and not at the
top: it takes more than a second, and a fetch makes no tensors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sihl_api.tasks import Task
from sihl_trainer.data.letterbox import Placement

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class HeadInfo:
    """What the dataset tells a head about its targets before the first one."""

    task: Task
    categories: tuple[str, ...] = ()


class Target(ABC):
    """An annotation in the shape that a head learns from."""

    @abstractmethod
    def placed(self, placement: Placement) -> Self:
        """The target of the image after `placement`."""

    @abstractmethod
    def mirrored(self, width: float) -> Self:
        """The target of the image mirrored left to right; `width` in pixels."""

    @abstractmethod
    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """The target on a device."""


@dataclass(frozen=True)
class CategoryTarget(Target):
    """Multiclass classification: an index into the head's categories."""

    category: int

    def placed(self, placement: Placement) -> CategoryTarget:  # noqa: ARG002
        """The same: a category has no place."""
        return self

    def mirrored(self, width: float) -> CategoryTarget:  # noqa: ARG002
        """The same: a category has no direction."""
        return self

    def to(self, device: torch.device | str, non_blocking: bool = False) -> CategoryTarget:  # noqa: ARG002
        """The same: an integer lives on no device."""
        return self


@dataclass(frozen=True, eq=False)
class BoxesTarget(Target):
    """Object detection.

    Args:
        boxes: float32 [N, 4], xmin, ymin, xmax, ymax in pixels of the image.
        categories: int64 [N], indices into the head's categories.
    """

    boxes: Tensor
    categories: Tensor

    def placed(self, placement: Placement) -> BoxesTarget:
        """The boxes moved and scaled with their image."""
        return BoxesTarget(placement.apply(self.boxes), self.categories)

    def mirrored(self, width: float) -> BoxesTarget:
        """The boxes of the mirrored image; xmin and xmax change places."""
        import torch

        xmin, ymin, xmax, ymax = self.boxes.unbind(1)
        return BoxesTarget(
            torch.stack((width - xmax, ymin, width - xmin, ymax), 1), self.categories
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> BoxesTarget:
        """The same boxes on a device."""
        return BoxesTarget(
            self.boxes.to(device, non_blocking=non_blocking),
            self.categories.to(device, non_blocking=non_blocking),
        )

    def __reduce__(self) -> tuple[Callable[..., BoxesTarget], tuple[Any, ...]]:
        # Between processes torch gives each tensor a file descriptor of shared memory: two a
        # image would exhaust them. As arrays they travel inside the message.
        return boxes_target, (self.boxes.numpy(), self.categories.numpy())


def boxes_target(boxes: np.ndarray, categories: np.ndarray) -> BoxesTarget:
    """The target of arrays, which it shares: boxes float32 [N, 4], categories int64 [N]."""
    import torch

    return BoxesTarget(torch.from_numpy(boxes), torch.from_numpy(categories))
