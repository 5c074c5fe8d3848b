"""What an image's masks become for the head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.target import Target


@dataclass(frozen=True, eq=False)
class InstancesTarget(Target):
    """Objects with masks, which may overlap: each mask is kept within its tightest box.

    Args:
        boxes: int32 [N, 4], xmin, ymin, xmax, ymax in pixels of the map, none empty: a mask of one
            pixel has a box of one by one.
        crops: uint8 [sum of the boxes' areas], 0 or 1: the masks within their boxes, row by row,
            one after the other.
        categories: int64 [N], indices into the head's categories.
        map_size: (width, height) of the map in pixels.
        size: (width, height) in pixels of the image that the map covers, once it is known.
    """

    boxes: Tensor
    crops: Tensor
    categories: Tensor
    map_size: tuple[int, int]
    size: tuple[int, int] | None = None

    def masks(self) -> Iterator[Tensor]:
        """Of each object, uint8 [height, width] of its box."""
        start = 0
        for left, top, right, bottom in self.boxes.tolist():
            area = (right - left) * (bottom - top)
            yield self.crops[start : start + area].view(bottom - top, right - left)
            start += area

    def sized(self, size: tuple[int, int]) -> InstancesTarget:
        """The objects of an image of this size."""
        return InstancesTarget(self.boxes, self.crops, self.categories, self.map_size, size)

    def placed(self, fit: Letterboxing) -> InstancesTarget:
        """The objects in the canvas. None vanishes: the smallest keeps a pixel."""
        found = []
        for mask, (left, top, _, _) in zip(self.masks(), self.boxes.tolist(), strict=True):
            crop, x, y = _resampled(mask, left, top, self.map_size, fit.size)
            found.append((crop, x + fit.placement.left, y + fit.placement.top))
        return instances(found, self.categories, fit.canvas, fit.canvas)

    def mirrored(self, width: float) -> InstancesTarget:
        """The objects from right to left."""
        found = [
            (mask.flip(1), round(width) - right, top)
            for mask, (_, top, right, _) in zip(self.masks(), self.boxes.tolist(), strict=True)
        ]
        return instances(found, self.categories, self.map_size, self.size)


def instances(
    crops: Sequence[tuple[Tensor, int, int]],
    categories: Tensor,
    map_size: tuple[int, int],
    size: tuple[int, int] | None,
) -> InstancesTarget:
    """Objects of masks that lie somewhere in a map, and are not empty.

    Args:
        crops: Of each object a mask [height, width] around all its pixels, and the left and top of
            that part of the map.
        categories: int64 [N].
        map_size, size: As in `InstancesTarget`.
    """
    boxes, flat = [], [torch.zeros(0, dtype=torch.uint8)]
    for mask, left, top in crops:
        rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
        first, last = int(rows[0]), int(rows[-1]) + 1
        begin, end = int(columns[0]), int(columns[-1]) + 1
        boxes.append((left + begin, top + first, left + end, top + last))
        flat.append(mask[first:last, begin:end].to(torch.uint8).flatten())
    found = torch.tensor(boxes, dtype=torch.int32).reshape(-1, 4)
    return InstancesTarget(found, torch.cat(flat), categories, map_size, size)


def _resampled(
    mask: Tensor, left: int, top: int, own: tuple[int, int], size: tuple[int, int]
) -> tuple[Tensor, int, int]:
    """A mask that lies at (left, top) in a map of the size `own` that becomes one of `size`."""
    rows, y = _hit(mask.shape[0], top, own[1], size[1])
    columns, x = _hit(mask.shape[1], left, own[0], size[0])
    found = mask[rows[:, None], columns]
    if not found.any():
        # No centre of a pixel hits it: it keeps the one pixel that its middle lies in.
        ys, xs = mask.nonzero().float().mean(0).tolist()
        x = min(size[0] - 1, int((left + xs + 0.5) * size[0] / own[0]))
        y = min(size[1] - 1, int((top + ys + 0.5) * size[1] / own[1]))
        found = mask.new_ones(1, 1)
    return found, x, y


def _hit(length: int, start: int, own: int, new: int) -> tuple[Tensor, int]:
    """Which of `length` places from `start` on each new place hits, and the first new place.

    `own` places become `new` ones as in `maps.placement.resized`, to the last bit: masks lie where
    maps say.
    """
    first = max(0, int(start * new / own) - 1)
    last = min(new, int((start + length) * new / own) + 2)
    hit = ((torch.arange(first, last) + 0.5) * (own / new)).long().clamp(max=own - 1) - start
    inside = (hit >= 0) & (hit < length)
    if not inside.any():
        return hit[:0], first
    return hit[inside], first + int(inside.nonzero()[0])
