"""Masks within boxes: how predicted objects are kept and measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

MARGIN = 0.1
"""Of a box's sides: how far a mask may reach over each."""
THRESHOLD = 0.5


@dataclass(frozen=True, eq=False)
class InstancesPrediction:
    """Objects that were found in an image, the best first, each with the mask in its box.

    Attributes:
        boxes: int32 [N, 4], xyxy in pixels of the model's input, tight around the masks.
        masks: N times bool [height, width] of the box.
        categories: int64 [N].
        scores: float32 [N].
    """

    boxes: Tensor
    masks: list[Tensor] = field(repr=False)
    categories: Tensor
    scores: Tensor

    def __len__(self) -> int:
        return len(self.masks)

    def windows(self) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
        """Of each object, which rows and columns of the map its box takes, and its mask."""
        for box, mask in zip(self.boxes.tolist(), self.masks, strict=True):
            yield (slice(box[1], box[3]), slice(box[0], box[2])), mask

    def surer(self, score: float) -> InstancesPrediction:
        """Those whose score is at least that."""
        count = int((self.scores >= score).sum())
        return InstancesPrediction(
            self.boxes[:count], self.masks[:count], self.categories[:count], self.scores[:count]
        )


def cropped(
    inside: Tensor, stride: int, size: tuple[int, int], found: tuple[Tensor, Tensor, Tensor]
) -> InstancesPrediction:
    """Objects' masks at the resolution of the input, each made within its box and no further.

    An object whose mask is empty there was none.

    Args:
        inside: float32 [N, h, w] in 0 to 1, which share of a cell is probably the object's; on the
            CPU, as all here. (Not logits: between a cell that is surely outside and one that is
            just inside, their mean lies far outside.)
        stride: Pixels a cell is wide and high.
        size: (width, height) of the input.
        found: Boxes [N, 4], xyxy in pixels, categories [N], scores [N], the best first.
    """
    boxes, categories, scores = found
    kept, places, masks = [], [], []
    for index, box in enumerate(boxes.tolist()):
        left, top, right, bottom = _window(box, size)
        mask = _enlarged(inside[index], stride, (left, top, right, bottom)) > THRESHOLD
        rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
        if not len(rows):
            continue
        first, last = int(rows[0]), int(rows[-1]) + 1
        begin, end = int(columns[0]), int(columns[-1]) + 1
        kept.append(index)
        places.append((left + begin, top + first, left + end, top + last))
        masks.append(mask[first:last, begin:end].clone())
    return InstancesPrediction(
        torch.tensor(places, dtype=torch.int32).reshape(-1, 4),
        masks,
        categories[kept],
        scores[kept],
    )


def joined(parts: Sequence[InstancesPrediction]) -> InstancesPrediction:
    """Objects of one image, part by part."""
    return InstancesPrediction(
        torch.cat([torch.zeros((0, 4), dtype=torch.int32), *(part.boxes for part in parts)]),
        [mask for part in parts for mask in part.masks],
        torch.cat([torch.zeros(0, dtype=torch.int64), *(part.categories for part in parts)]),
        torch.cat([torch.zeros(0), *(part.scores for part in parts)]),
    )


def _window(box: list[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The pixels where an object's mask may lie: at least one."""
    left, top, right, bottom = box
    across, down = MARGIN * (right - left), MARGIN * (bottom - top)
    first = min(max(0, math.floor(left - across)), size[0] - 1)
    above = min(max(0, math.floor(top - down)), size[1] - 1)
    last = max(first + 1, min(size[0], math.ceil(right + across)))
    below = max(above + 1, min(size[1], math.ceil(bottom + down)))
    return first, above, last, below


def _enlarged(cells: Tensor, stride: int, window: tuple[int, int, int, int]) -> Tensor:
    """[bottom - top, right - left]: bilinear, of the cells [h, w] that a window of pixels needs."""
    left, top, right, bottom = window
    rows, down = _between(top, bottom, stride, cells.shape[0])
    columns, across = _between(left, right, stride, cells.shape[1])
    last_row, last = (side - 1 for side in cells.shape)
    lines = torch.lerp(cells[rows], cells[(rows + 1).clamp(max=last_row)], down[:, None])
    return torch.lerp(lines[:, columns], lines[:, (columns + 1).clamp(max=last)], across)


def _between(first: int, last: int, stride: int, cells: int) -> tuple[Tensor, Tensor]:
    """The cell whose centre comes before each pixel's, and how far the pixel lies behind it."""
    place = ((torch.arange(first, last) + 0.5) / stride - 0.5).clamp(0, cells - 1)
    before = place.long()
    return before, place - before
