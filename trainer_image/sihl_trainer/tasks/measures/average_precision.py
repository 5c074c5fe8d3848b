"""COCO's average precision, over any similarity of what was found and what is there.

Lin et al., "Microsoft COCO: Common Objects in Context" (ECCV 2014), as its evaluation code defines
it: the similarity is an IoU of boxes, masks or polygons, or that of keypoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sihl_trainer.tasks.measures.base import Measure, Rows

THRESHOLDS: tuple[float, ...] = tuple(np.linspace(0.5, 0.95, 10).tolist())
RECALLS = np.linspace(0, 1, 101)
_ROW = [("score", "f4"), ("category", "u2"), ("hits", "u2"), ("image", "u4"), ("early", "?")]
_MOST_THRESHOLDS = 16
_LARGEST_THRESHOLD = 1 - 1e-10  # COCO's: a similarity of one, less its rounding, is a hit
_EARLY = 100
"""COCO's recall is that of so many detections of a category in an image; ours of as many as it has
objects, where these are more."""
_NAMED = {"map50": 0.5, "map75": 0.75}


class AveragePrecision(Measure):
    """Mean average precision and recall.

    Matching is done image by image: a detection leaves its score, its category, and one bit a
    threshold that says whether it hit (thirteen bytes with what else there is).

    Args:
        categories: how many there are, at most 65,536.
        thresholds: of the similarity, at most 16.
        max_detections: how many of a category count in an image, the best first; None: all. COCO
            counts 100: of an image with 300 objects the truth itself reaches a third.
    """

    def __init__(
        self,
        categories: int,
        thresholds: Sequence[float] = THRESHOLDS,
        max_detections: int | None = 100,
    ) -> None:
        if len(thresholds) > _MOST_THRESHOLDS:
            raise ValueError(f"{len(thresholds)} thresholds: at most {_MOST_THRESHOLDS} are kept")
        self.thresholds = np.minimum(np.sort(thresholds), _LARGEST_THRESHOLD)
        self.max_detections = max_detections
        self.truths = np.zeros(categories, np.int64)
        self.detections = Rows(_ROW)

    def update(
        self,
        similarity: ArrayLike,
        scores: ArrayLike,
        found: ArrayLike,
        true: ArrayLike,
        image: int = 0,
    ) -> None:
        """Add an image.

        Args:
            similarity: float [D, G], of each detection with each object.
            scores: float [D].
            found: integers [D], the detections' categories.
            true: integers [G], the objects' categories.
            image: the image's place in the dataset. Equal scores rank by it, then by the order of
                update, merged instruments after the own. COCO ranks by the first; with it,
                results are the same however the images are shared out and merged.
        """
        true = np.asarray(true, np.int64)
        score = np.nan_to_num(np.asarray(scores, np.float32))
        category = np.asarray(found, np.int64)
        order = np.argsort(-score, kind="stable")
        places = _places(category[order])
        if self.max_detections is not None:
            counted = places < self.max_detections
            order, places = order[counted], places[counted]
        category = category[order]
        likeness = np.asarray(similarity).reshape(len(score), len(true))[order]
        hits = _matched(likeness, category[:, None] == true, self.thresholds)
        objects = np.bincount(true, minlength=len(self.truths))
        self.truths += objects
        self.detections.add(
            len(order),
            score=score[order],
            category=category,
            hits=hits,
            image=image,
            early=places < np.maximum(objects[category], _EARLY),
        )

    def merge(self, other: Self) -> None:
        """Take in another rank's images."""
        self.truths += other.truths
        self.detections.extend(other.detections)

    def compute(self) -> dict[str, float]:
        """`map`, `map50`, `map75` and recall, as `mar100` or that of fewer.

        Means over categories with objects; without any, there is none of them.
        """
        present = self.truths.nonzero()[0]
        if not len(present):
            return {}
        precision = np.zeros((len(present), len(self.thresholds)))
        recall = np.zeros_like(precision)
        table = self.detections.table()
        table = table[np.lexsort((table["image"], -table["score"], table["category"]))]
        starts = np.searchsorted(table["category"], present)
        ends = np.searchsorted(table["category"], present, side="right")
        for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
            hits, early = table["hits"][start:end], table["early"][start:end]
            objects = int(self.truths[present[row]])
            for column in range(len(self.thresholds)):
                hit = (hits >> column & 1) > 0
                precision[row, column] = _interpolated(hit.nonzero()[0] + 1, objects)
                recall[row, column] = np.count_nonzero(hit & early) / objects
        results = {"map": float(precision.mean())}
        for name, threshold in _NAMED.items():
            columns = np.isclose(self.thresholds, threshold)
            if columns.any():
                results[name] = float(precision[:, columns].mean())
        most = min(self.max_detections or _EARLY, _EARLY)
        return results | {f"mar{most}": float(recall.mean())}


def _places(category: NDArray[Any]) -> NDArray[Any]:
    """How many of the same category come before each of [D]."""
    order = np.argsort(category, kind="stable")
    ordered = category[order]
    places = np.empty_like(order)
    places[order] = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    return places


def _matched(
    similarity: NDArray[Any], comparable: NDArray[Any], thresholds: NDArray[Any]
) -> list[int]:
    """For each detection the bits of the thresholds at which it hits an object.

    The best detection chooses first: at each threshold the likest object of its category that is
    still free, of equally like ones the last. Few pairs are like at all, and a pair is decided at
    all thresholds at once, so that a loop over them is cheap.
    """
    hits, taken = [0] * similarity.shape[0], [0] * similarity.shape[1]
    found, true = (comparable & (similarity >= thresholds[0])).nonzero()
    likeness = similarity[found, true]
    order = np.lexsort((-true, -likeness, found))
    reached = (1 << np.searchsorted(thresholds, likeness, side="right")) - 1
    for d, g, bits in zip(
        found[order].tolist(), true[order].tolist(), reached[order].tolist(), strict=True
    ):
        won = bits & ~taken[g] & ~hits[d]
        hits[d] |= won
        taken[g] |= won
    return hits


def _interpolated(ranks: NDArray[Any], objects: int) -> float:
    """Precision, never rising with recall, averaged at 101 recalls; ranks (from 1) of the hits."""
    count = np.arange(1, len(ranks) + 1)
    precision = np.maximum.accumulate((count / ranks)[::-1])[::-1]
    reached = np.searchsorted(count / objects, RECALLS)
    return float(precision[reached[reached < len(ranks)]].sum() / len(RECALLS))
