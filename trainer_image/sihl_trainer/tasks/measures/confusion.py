"""The confusion matrix of maps of classes, over a whole dataset."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sihl_trainer.tasks.measures.base import Summed, ratios


class ConfusionMatrix(Summed):
    """How often each class was taken for each, in pixels.

    Args:
        classes: how many there are.
        ignore: the value of pixels that count for nothing.

    Attributes:
        totals: int64 [C, C], by the true class, then by the predicted.
    """

    def __init__(self, classes: int, ignore: int = 255) -> None:
        super().__init__(np.zeros((classes, classes), np.int64))
        self.ignore = ignore

    def update(self, true: ArrayLike, predicted: ArrayLike) -> None:
        """Add integer maps of one shape.

        Raises:
            ValueError: a pixel that counts has a class that there is not.
        """
        truth, found = np.asarray(true), np.asarray(predicted)
        counted = truth != self.ignore
        truth, found = truth[counted], found[counted]
        classes = len(self.totals)
        for name, values in (("true", truth), ("predicted", found)):
            if values.size and not 0 <= values.min() <= values.max() < classes:
                wrong = values.max() if values.max() >= classes else values.min()
                raise ValueError(f"the {name} class {wrong} is none of the {classes}")
        cell = truth.astype(np.intp) * classes + found
        self.totals += np.bincount(cell, minlength=classes**2).reshape(classes, classes)

    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each class, 0 where it is in neither truth nor prediction."""
        union = self._occurring()
        shared: NDArray[np.float64] = self.totals.diagonal() / np.maximum(union, 1)
        return shared

    def compute(self) -> dict[str, float]:
        """`miou`, the mean over classes in truth or prediction, and `pixel_accuracy`."""
        occurring = int(np.count_nonzero(self._occurring()))
        return ratios(
            miou=(self.iou().sum(), occurring),
            pixel_accuracy=(self.totals.trace(), self.totals.sum()),
        )

    def _occurring(self) -> NDArray[Any]:
        """Pixels [C] that are of a class in truth or prediction."""
        union: NDArray[Any] = self.totals.sum(0) + self.totals.sum(1) - self.totals.diagonal()
        return union
