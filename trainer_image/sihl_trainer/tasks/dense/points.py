"""Points: the centres of a level's cells, where dense heads learn."""

from __future__ import annotations

import torch
from torch import Tensor


def grid(size: torch.Size, stride: int, device: torch.device) -> Tensor:
    """float [H * W, 2]: x, y of each cell's centre, in pixels."""
    height, width = size
    y, x = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    return (torch.stack((x, y), dim=-1).reshape(-1, 2) + 0.5) * stride
