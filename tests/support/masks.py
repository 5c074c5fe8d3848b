"""Objects with masks, and small heads that find them."""

from __future__ import annotations

import torch
from torch import Tensor

from sihl_trainer.tasks.instance_segmentation.target import InstancesTarget, instances


def some_objects(
    count: int, size: tuple[int, int], seed: int = 0, *, categories: int = 2, most: int = 20
) -> InstancesTarget:
    """Random masks, with holes, anywhere in a map of this (width, height)."""
    generator = torch.Generator().manual_seed(seed)

    def below(limit: int) -> int:
        return int(torch.randint(0, limit, (1,), generator=generator))

    crops = []
    for _ in range(count):
        width, height = (1 + below(min(most, side)) for side in size)
        mask = torch.rand(height, width, generator=generator) < 0.7
        mask[below(height), below(width)] = True
        crops.append((mask, below(size[0] - width + 1), below(size[1] - height + 1)))
    category = torch.randint(0, categories, (count,), generator=generator)
    return instances(crops, category, size, size)


def full_masks(target: InstancesTarget) -> Tensor:
    """uint8 [N, h, w]: the masks, each in a map of its own."""
    width, height = target.map_size
    whole = torch.zeros(len(target.boxes), height, width, dtype=torch.uint8)
    for page, mask, box in zip(whole, target.masks(), target.boxes.tolist(), strict=True):
        page[box[1] : box[3], box[0] : box[2]] = mask
    return whole


def features(
    levels: tuple[int, int], size: tuple[int, int], batch: int = 2, channels: int = 16
) -> dict[int, Tensor]:
    """Random features by level, of inputs of this (width, height)."""
    generator = torch.Generator().manual_seed(0)
    return {
        level: torch.randn(
            batch, channels, -(-size[1] // 2**level), -(-size[0] // 2**level),
            generator=generator,
        )
        for level in range(levels[0], levels[1] + 1)
    }  # fmt: skip
