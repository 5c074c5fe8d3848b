"""How well segments are found: panoptic quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sihl_trainer.tasks.measures.panoptic import PanopticQuality
from sihl_trainer.tasks.metric import Directions, Metric
from sihl_trainer.tasks.panoptic_segmentation.target import PanopticTarget


@dataclass(frozen=True, eq=False)
class PanopticPrediction:
    """Segments of an image.

    Attributes:
        segments: int16 [H, W] of the model's input: 0 for nothing, else the segment, from 1 on.
        categories: int64 [N], of segment 1 to N.
        scores: float32 [N]; stuff, which is found pixel by pixel, has 1.
    """

    segments: Tensor
    categories: Tensor
    scores: Tensor


class SegmentQuality(Metric):
    """Kirillov et al., "Panoptic Segmentation", CVPR 2019.

    Args:
        categories: How many there are.
    """

    better: ClassVar[Directions] = {"pq": "higher", "sq": "higher", "rq": "higher"}

    def __init__(self, categories: int) -> None:
        self.quality = PanopticQuality(categories)

    def update(
        self,
        predictions: Sequence[PanopticPrediction],
        targets: Sequence[PanopticTarget],
        places: Sequence[int],  # noqa: ARG002
    ) -> None:
        """Count images."""
        for prediction, target in zip(predictions, targets, strict=True):
            true, found = target.segments.numpy(), prediction.segments.numpy()
            self.quality.update(
                category_map(true, target.categories),
                true,
                category_map(found, prediction.categories),
                found,
                true == 0,
            )

    def merge(self, other: Self) -> None:
        """Count the other's images."""
        self.quality.merge(other.quality)

    def compute(self) -> dict[str, float]:
        """pq, sq and rq."""
        return self.quality.compute()


def category_map(segments: NDArray[Any], categories: Tensor) -> NDArray[np.int64]:
    """Each pixel's category [h, w]; -1 where there is no segment."""
    table = np.append(-1, categories.numpy())
    found: NDArray[np.int64] = table[segments]
    return found
