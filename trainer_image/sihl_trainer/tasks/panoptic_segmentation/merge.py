"""From objects and a map of categories to segments that do not overlap.

As Kirillov et al., "Panoptic Feature Pyramid Networks" (CVPR 2019), section 4: all in one map at
the resolution of the input, whatever the number of objects.
"""

from __future__ import annotations

from collections.abc import Set

import numpy as np
import torch
from torch import Tensor

from sihl_trainer.tasks.masks.crops import InstancesPrediction
from sihl_trainer.tasks.panoptic_segmentation.metric import PanopticPrediction

SCORE = 0.3
"""Objects of which the head is less sure are not painted."""
FREE = 0.5
"""Share of an object's pixels that surer ones must have left to it."""
STUFF_AREA = 0.002
"""Share of the input that stuff must cover: less of it is a mistake more often than not."""


def merged(objects: InstancesPrediction, labels: Tensor, stuff: Set[int]) -> PanopticPrediction:
    """Objects painted, the surest first; then stuff on what is left.

    Args:
        objects: Things, the surest first.
        labels: uint8 or int16 [H, W], the likeliest category plus one.
        stuff: Which categories are no things.
    """
    segments = np.zeros(tuple(labels.shape), np.int16)
    categories: list[int] = []
    sure = objects.surer(SCORE)
    scores: list[float] = []
    for (window, mask), category, score in zip(
        sure.windows(), sure.categories.tolist(), sure.scores.tolist(), strict=True
    ):
        own = mask.numpy()
        free = own & (segments[window] == 0)
        if np.count_nonzero(free) <= FREE * np.count_nonzero(own):
            continue
        categories.append(category)
        scores.append(score)
        segments[window][free] = len(categories)
    left = np.where(segments == 0, labels.numpy(), 0)
    areas = np.bincount(left.ravel())
    for category in np.flatnonzero(areas >= STUFF_AREA * left.size) - 1:
        if int(category) in stuff:
            categories.append(int(category))
            scores.append(1.0)
            segments[left == category + 1] = len(categories)
    return PanopticPrediction(
        torch.from_numpy(segments),
        torch.tensor(categories, dtype=torch.int64),
        torch.tensor(scores, dtype=torch.float32),
    )
