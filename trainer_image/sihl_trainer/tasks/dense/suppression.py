"""Detections of one image: the best of those that stand for one object.

Non-maximum suppression by category, of boxes.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torchvision.ops import batched_nms

from sihl_trainer.tasks.dense.limit import candidates_for

SCORE_THRESHOLD = 0.05


class Chosen(NamedTuple):
    """N detections, the best first.

    Args:
        point: int64 [N].
        category: int64 [N].
        score: float [N].
    """

    point: Tensor
    category: Tensor
    score: Tensor

    def at(self, index: Tensor) -> Chosen:
        """Some of them, in the index's order."""
        return Chosen(self.point[index], self.category[index], self.score[index])


def candidates(scores: Tensor, most: int) -> Chosen:
    """The best of scores [P, C] that are above the threshold, for so many objects at most."""
    point, category = (scores > SCORE_THRESHOLD).nonzero(as_tuple=True)
    found = Chosen(point, category, scores[point, category])
    return found.at(found.score.topk(min(candidates_for(most), len(point))).indices)


def suppressed(scores: Tensor, boxes: Tensor, most_alike: float, most: int) -> Chosen:
    """What is left of the best candidates when each is unlike all better ones of its category.

    Args:
        scores: float [P, C], probabilities.
        boxes: float [P, 4].
        most_alike: IoU up to which two of a category are two objects.
        most: How many are left at most.
    """
    found = candidates(scores, most)
    kept = batched_nms(boxes[found.point], found.score, found.category, most_alike)
    return found.at(kept[:most])
