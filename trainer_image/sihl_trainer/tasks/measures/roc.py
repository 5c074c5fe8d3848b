"""How well scores tell positives from negatives: the ROC curve's area and average precision."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sihl_trainer.tasks.measures.base import Kept, Summed, ratios


class Roc(Kept):
    """Exact, of scores that are all kept as float32: for one an image."""

    def __init__(self) -> None:
        super().__init__([("score", "f4"), ("positive", "?")])

    def update(self, positive: ArrayLike, scores: ArrayLike) -> None:
        """Add which are positive, bool [B], and their scores, float [B]."""
        score = np.nan_to_num(np.asarray(scores, np.float32))
        self.rows.add(len(score), score=score, positive=positive)

    def compute(self) -> dict[str, float]:
        """`auroc` and `average_precision`."""
        table = self.rows.table()
        return areas(table["positive"], table["score"])


class BinnedRoc(Summed):
    """Of scores within 0 to 1, counted in bins of one width: for one a pixel.

    Scores of one bin are ties; others are clipped into the range.

    Attributes:
        totals: int64 [2, bins]: negatives, and positives.
    """

    def __init__(self, bins: int = 4096) -> None:
        super().__init__(np.zeros((2, bins), np.int64))

    def update(self, positive: ArrayLike, scores: ArrayLike) -> None:
        """Add which are positive, bool of any shape, and their scores, of the same."""
        bins = self.totals.shape[1]
        score = np.nan_to_num(np.asarray(scores, np.float64)).ravel().clip(0, 1)
        place = np.minimum((score * bins).astype(np.intp), bins - 1)
        place += bins * np.asarray(positive, bool).ravel()
        self.totals += np.bincount(place, minlength=2 * bins).reshape(2, bins)

    def compute(self) -> dict[str, float]:
        """`auroc` and `average_precision`."""
        return _areas(self.totals[1], self.totals[0])


def areas(positive: NDArray[Any], scores: NDArray[Any]) -> dict[str, float]:
    """`auroc` and `average_precision` of scores [N], of which some are positive, bool [N]."""
    different, group = np.unique(scores, return_inverse=True)
    positives = np.bincount(group, positive, len(different))
    return _areas(positives, np.bincount(group, minlength=len(different)) - positives)


def _areas(positives: NDArray[Any], negatives: NDArray[Any]) -> dict[str, float]:
    """Of the counts at each score, ascending.

    AUROC is the chance that a positive has the higher score than a negative, ties by half; average
    precision is the precision at each score weighted by the recall that it adds. Without
    positives there is neither; without negatives, no AUROC.
    """
    positives, negatives = positives[::-1].astype(np.float64), negatives[::-1].astype(np.float64)
    true, false = np.cumsum(positives), np.cumsum(negatives)
    wins = (negatives * (true - positives / 2)).sum()
    precision = true / np.maximum(true + false, 1)
    return ratios(
        auroc=(wins, positives.sum() * negatives.sum()),
        average_precision=((precision * positives).sum(), positives.sum()),
    )
