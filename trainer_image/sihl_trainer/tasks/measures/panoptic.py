"""Panoptic quality (Kirillov et al., "Panoptic Segmentation", CVPR 2019)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sihl_trainer.tasks.measures.base import Summed

_TABLE = 1 << 20


class PanopticQuality(Summed):
    """How well segments are found, and how well they fit.

    A segment is the pixels of one category and one id; stuff has one id an image. Two of a category
    match where their IoU exceeds a half, and can then match no other.

    Attributes:
        totals: float64 [4, C]: by category the matches' IoU, their number, the segments that
            only the prediction has, and those that only the truth has.
    """

    def __init__(self, categories: int) -> None:
        super().__init__(np.zeros((4, categories)))

    def update(
        self,
        true_category: ArrayLike,
        true_id: ArrayLike,
        predicted_category: ArrayLike,
        predicted_id: ArrayLike,
        void: ArrayLike,
    ) -> None:
        """Add an image, as maps of one shape.

        Void pixels (bool) have no truth: they are in no union, and a predicted segment that lies on
        them by more than half counts for nothing. A negative category is void, or no segment.
        """
        truth, found = np.asarray(true_category).ravel(), np.asarray(predicted_category).ravel()
        outside = np.asarray(void, bool).ravel() | (truth < 0)
        true, true_categories = _segments(truth, true_id, outside)
        predicted, categories = _segments(found, predicted_id, found < 0)
        # Row and column 0 are of no segment: void, and pixels for which nothing is predicted.
        rows, columns = len(true_categories) + 1, len(categories) + 1
        shared = np.bincount(true * columns + predicted, minlength=rows * columns)
        shared = shared.reshape(rows, columns)
        size, on_void = shared.sum(0)[1:], shared[0, 1:]
        union = shared[1:].sum(1)[:, None] + (size - on_void) - shared[1:, 1:]
        iou = shared[1:, 1:] / np.maximum(union, 1)
        match = (iou > 0.5) & (true_categories[:, None] == categories)
        row, column = match.nonzero()
        spurious = ~match.any(0) & (on_void <= size / 2)
        missed = ~match.any(1)
        np.add.at(self.totals[0], true_categories[row], iou[row, column])
        np.add.at(self.totals[1], true_categories[row], 1)
        np.add.at(self.totals[2], categories[spurious], 1)
        np.add.at(self.totals[3], true_categories[missed], 1)

    def compute(self) -> dict[str, float]:
        """`pq`, `sq` and `rq`: means over categories with a match or a mistake.

        None of them where the truth has no segment at all.
        """
        iou, matches, spurious, missed = self.totals
        amount = matches + (spurious + missed) / 2
        occurs = amount > 0
        if not (matches + missed).any():
            return {}
        pq = iou[occurs] / amount[occurs]
        sq = iou[occurs] / np.maximum(matches[occurs], 1)
        rq = matches[occurs] / amount[occurs]
        return {"pq": float(pq.mean()), "sq": float(sq.mean()), "rq": float(rq.mean())}


def _segments(
    category: NDArray[Any], identity: ArrayLike, outside: NDArray[Any]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Each pixel's segment from 1 on, 0 outside of all, and the categories [S] of segments."""
    inside = ~outside
    ids, _ = _numbered(np.asarray(identity).ravel()[inside])
    categories = category[inside].astype(np.intp)
    count = int(ids.max(initial=0)) + 1
    own, keys = _numbered(categories * count + ids)
    pixels = np.zeros(len(outside), np.intp)
    pixels[inside] = own + 1
    return pixels, keys // count


def _numbered(values: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Values >= 0 as their places among the different ones, and those, in order."""
    if values.size and values.max() >= _TABLE:
        different, places = np.unique(values, return_inverse=True)
        return places.reshape(-1), different.astype(np.intp)
    # Maps hold few values: a table of them is far faster than sorting all pixels.
    present = np.bincount(values) > 0
    return (np.cumsum(present) - 1)[values.astype(np.intp)], present.nonzero()[0]
