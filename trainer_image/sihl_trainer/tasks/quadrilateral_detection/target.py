"""What an image's quadrilaterals become for the head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.target import Target


@dataclass(frozen=True, eq=False)
class QuadrilateralsTarget(Target):
    """Quadrilaterals with categories.

    Args:
        corners: float32 [N, 4, 2], x, y in pixels of the image, from any corner on: clockwise as
            one sees it, so that the shoelace formula (y goes down) gives a positive area.
        categories: int64 [N], indices into the head's categories.
    """

    corners: Tensor
    categories: Tensor

    def placed(self, fit: Letterboxing) -> QuadrilateralsTarget:
        """The corners moved and scaled with their image."""
        return QuadrilateralsTarget(fit.placement.apply(self.corners), self.categories)

    def mirrored(self, width: float) -> QuadrilateralsTarget:
        """Those of the mirrored image, the corners in reverse: still clockwise."""
        x, y = self.corners.flip(1).unbind(2)
        return QuadrilateralsTarget(torch.stack((width - x, y), 2), self.categories)
