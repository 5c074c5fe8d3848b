"""What an image's keypoints become for the head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.target import Target


@dataclass(frozen=True, eq=False)
class KeypointsTarget(Target):
    """Instances with K keypoints each, of which at least one is visible.

    Args:
        points: float32 [N, K, 2], x, y in pixels of the image; 0 where invisible.
        visible: bool [N, K].
        swap: int64 [K], which keypoint each becomes in a mirrored image: a left eye the right one,
            and it the left one; most become themselves.
    """

    points: Tensor
    visible: Tensor
    swap: Tensor

    def placed(self, fit: Letterboxing) -> KeypointsTarget:
        """The points moved and scaled with their image."""
        return self._with(fit.placement.apply(self.points), self.visible)

    def mirrored(self, width: float) -> KeypointsTarget:
        """Those of the mirrored image; the two of a pair change places."""
        x, y = self.points.unbind(2)
        points = torch.stack((width - x, y), 2)
        return self._with(points[:, self.swap], self.visible[:, self.swap])

    def _with(self, points: Tensor, visible: Tensor) -> KeypointsTarget:
        return KeypointsTarget(torch.where(visible[..., None], points, 0.0), visible, self.swap)
