"""What an image's map of categories becomes for the head."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.maps import placement
from sihl_trainer.tasks.target import Target


@dataclass(frozen=True, eq=False)
class SemanticTarget(Target):
    """A map of categories.

    Args:
        labels: uint8 (int16 for more than 255 categories) [h, w]: 0 to ignore, else the index of
            the category plus one.
    """

    labels: Tensor

    def placed(self, fit: Letterboxing) -> SemanticTarget:
        """The map of the canvas, whose padding is ignored."""
        return SemanticTarget(placement.placed(self.labels, fit))

    def mirrored(self, width: float) -> SemanticTarget:  # noqa: ARG002
        """The map from right to left."""
        return SemanticTarget(self.labels.flip(1))
