"""What an image's category becomes for the head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sihl_trainer.data.letterbox import Placement
from sihl_trainer.tasks.target import Target

if TYPE_CHECKING:
    import torch


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
