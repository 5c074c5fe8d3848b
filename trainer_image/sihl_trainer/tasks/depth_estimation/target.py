"""What an image's depth map becomes for the head."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.maps import placement
from sihl_trainer.tasks.target import Target


@dataclass(frozen=True, eq=False)
class DepthTarget(Target):
    """A map of distances, as small as the file has it.

    Args:
        steps: uint8 or int32 [h, w]: 0 where nothing is known, else the distance in steps.
        scale: What a step is in the unit of the head's range.
    """

    steps: Tensor
    scale: float

    def placed(self, fit: Letterboxing) -> DepthTarget:
        """The map of the canvas; nothing is known of its padding."""
        return DepthTarget(placement.placed(self.steps, fit), self.scale)

    def mirrored(self, width: float) -> DepthTarget:  # noqa: ARG002
        """The map from right to left."""
        return DepthTarget(self.steps.flip(1), self.scale)
