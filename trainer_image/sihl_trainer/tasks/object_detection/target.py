"""What an image's boxes become for the head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sihl_trainer.data.letterbox import Placement
from sihl_trainer.tasks.target import Target

if TYPE_CHECKING:
    import torch
    from torch import Tensor


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
