"""What an image's boxes become for the head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.target import Target


@dataclass(frozen=True, eq=False)
class BoxesTarget(Target):
    """Boxes with categories.

    Args:
        boxes: float32 [N, 4], xmin, ymin, xmax, ymax in pixels of the image.
        categories: int64 [N], indices into the head's categories.
    """

    boxes: Tensor
    categories: Tensor

    def placed(self, fit: Letterboxing) -> BoxesTarget:
        """The boxes moved and scaled with their image."""
        return BoxesTarget(fit.placement.apply(self.boxes), self.categories)

    def mirrored(self, width: float) -> BoxesTarget:
        """The boxes of the mirrored image; xmin and xmax change places."""
        xmin, ymin, xmax, ymax = self.boxes.unbind(1)
        return BoxesTarget(
            torch.stack((width - xmax, ymin, width - xmin, ymax), 1), self.categories
        )
