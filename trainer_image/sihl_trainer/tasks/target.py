"""What an image's annotation becomes for a head: the contract; each task has its own class.

A target knows how to follow its image through letterboxing and mirroring, so that neither the
dataset nor the training loop needs to know any task.

Here and in what else the fetch imports, torch is imported where a tensor is made and not at the
top: it takes more than a second, and a fetch makes no tensors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from sihl_api.tasks import Task
from sihl_trainer.data.letterbox import Placement

if TYPE_CHECKING:
    import torch


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
