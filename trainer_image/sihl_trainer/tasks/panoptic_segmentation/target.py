"""What an image's segments become for the head."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.maps import placement
from sihl_trainer.tasks.target import Target


@dataclass(frozen=True, eq=False)
class PanopticTarget(Target):
    """Segments, each of a category: one map of ids.

    Args:
        segments: uint8 (int16 for more than 255 segments) [h, w]: 0 to ignore, else the number of
            the segment, from 1 on.
        categories: int64 [N], of segment 1 to N: indices into the head's categories. A segment
            may have lost all its pixels where the image was made smaller.
        size: (width, height) in pixels of the image that the map covers, once it is known.
    """

    segments: Tensor
    categories: Tensor
    size: tuple[int, int] | None = None

    def sized(self, size: tuple[int, int]) -> PanopticTarget:
        """The segments of an image of this size."""
        return PanopticTarget(self.segments, self.categories, size)

    def placed(self, fit: Letterboxing) -> PanopticTarget:
        """The segments in the canvas, whose padding is ignored."""
        return PanopticTarget(placement.placed(self.segments, fit), self.categories, fit.canvas)

    def mirrored(self, width: float) -> PanopticTarget:  # noqa: ARG002
        """The segments from right to left."""
        return PanopticTarget(self.segments.flip(1), self.categories, self.size)
