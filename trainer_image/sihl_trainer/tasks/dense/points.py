"""Points: the centres of a level's cells, where dense heads learn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from sihl_trainer.tasks.device import of_images


def grid(size: torch.Size, stride: int, device: torch.device) -> Tensor:
    """float [H * W, 2]: x, y of each cell's centre, in pixels."""
    height, width = size
    y, x = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    return (torch.stack((x, y), dim=-1).reshape(-1, 2) + 0.5) * stride


def at_points(regions: Sequence[Tensor], point: Tensor, rows: list[int] | None = None) -> Tensor:
    """[B, S, width]: what points [B, S] see, of the levels' maps of some images, or of all.

    Level by level: to lay all maps one after the other would copy them.
    """
    sizes = [region.shape[-2:].numel() for region in regions]
    ends = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
    found: Tensor | None = None
    for region, (start, end) in zip(regions, pairwise(ends), strict=True):
        flat = (region if rows is None else of_images(region, rows)).flatten(2)
        inside = (point >= start) & (point < end)
        index = (point - start).clamp(0, end - start - 1)[:, None].expand(-1, flat.shape[1], -1)
        part = torch.where(inside[:, None], flat.gather(2, index), 0.0)
        found = part if found is None else found + part
    assert found is not None
    return found.transpose(1, 2)
