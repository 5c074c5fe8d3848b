"""Which share of each cell of a coarse map objects cover: what masks are learnt from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from sihl_trainer.tasks.instance_segmentation.target import InstancesTarget

FULL = 255
"""A cell that is covered wholly."""


def coverage(
    target: InstancesTarget, chosen: Sequence[int], stride: int, size: tuple[int, int]
) -> Tensor:
    """The objects' masks on a map of cells, made from their crops and from nothing larger.

    Args:
        target: The image's objects.
        chosen: Which of them.
        stride: Pixels a cell is wide and high.
        size: (width, height) of the map in cells.

    Returns:
        uint8 [len(chosen), height, width], 0 to `FULL`.
    """
    whole = torch.zeros((len(chosen), size[1], size[0]), dtype=torch.uint8)
    sides = (target.boxes[:, 2:] - target.boxes[:, :2]).long()
    starts = F.pad(sides.prod(1).cumsum(0), (1, 0)).tolist()
    for place, index in enumerate(chosen):
        left, top, right, bottom = target.boxes[index].tolist()
        crop = target.crops[starts[index] : starts[index + 1]].view(1, bottom - top, right - left)
        border = (left % stride, -right % stride, top % stride, -bottom % stride)
        cells = F.avg_pool2d(F.pad(crop.float(), border), stride)[0]
        row, column = top // stride, left // stride
        part = whole[place, row : row + cells.shape[0], column : column + cells.shape[1]]
        part.copy_((cells[: part.shape[0], : part.shape[1]] * FULL).round())
    return whole
