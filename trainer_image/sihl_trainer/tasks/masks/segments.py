"""Maps of numbered segments as objects with crops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sihl_trainer.tasks.instance_segmentation.target import InstancesTarget, instances


def extents(segments: NDArray[Any]) -> dict[int, tuple[int, int, int, int]]:
    """By number, the box around each segment of a map [h, w] that has pixels: xyxy."""
    height, width = segments.shape
    begins = np.ones((height, width), bool)
    np.not_equal(segments[:, 1:], segments[:, :-1], out=begins[:, 1:])
    # Maps are runs of one segment along each row, of which there are far fewer than pixels.
    starts = np.flatnonzero(begins)
    numbers, places = np.unique(segments.reshape(-1)[starts], return_inverse=True)
    rows, left = np.divmod(starts, width)
    right = left + np.diff(starts, append=segments.size)
    boxes = np.empty((len(numbers), 4), np.int64)
    boxes[:, :2], boxes[:, 2:] = (width, height), 0
    np.minimum.at(boxes[:, 0], places, left)
    np.minimum.at(boxes[:, 1], places, rows)
    np.maximum.at(boxes[:, 2], places, right)
    np.maximum.at(boxes[:, 3], places, rows + 1)
    return dict(zip(numbers.tolist(), map(tuple, boxes.tolist()), strict=True))


def objects_of(
    segments: Tensor, numbers: Sequence[int], categories: Tensor, size: tuple[int, int] | None
) -> InstancesTarget:
    """Some segments as objects; those without pixels are none.

    Args:
        segments: uint8 or int16 [h, w].
        numbers: Which of them, from 1 on.
        categories: int64 [len(numbers)], theirs.
        size: (width, height) in pixels of the image that the map covers, if it is known.
    """
    boxes = extents(segments.numpy())
    crops, kept = [], []
    for place, number in enumerate(numbers):
        if number in boxes:
            left, top, right, bottom = boxes[number]
            crops.append((segments[top:bottom, left:right] == number, left, top))
            kept.append(place)
    height, width = segments.shape
    chosen = categories[torch.tensor(kept, dtype=torch.int64)]
    return instances(crops, chosen, (width, height), size)
