"""Images looked at through frames: rectangles anywhere, each image's its own."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def axes(images: Tensor) -> tuple[Tensor, Tensor]:
    """x [1, 1, W] and y [1, H, 1] of the pixels' centres, as shares of width and height."""
    height, width = images.shape[-2:]
    x = (torch.arange(width, device=images.device, dtype=torch.float32) + 0.5) / width
    y = (torch.arange(height, device=images.device, dtype=torch.float32) + 0.5) / height
    return x.view(1, 1, -1), y.view(1, -1, 1)


def sampled(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Images [B, C, H, W] at points [B, h, w], in shares of width and height: [B, C, h, w].

    x and y may be of one row or one column, where they are the same in all.

    Between pixels linear; beyond the border the border's. Coordinates are made by sums and
    products, never by a matrix product, which mixed precision would take at eight bits.
    """
    shape = (len(images), y.shape[1], x.shape[2])
    grid = torch.stack(((2 * x - 1).expand(shape), (2 * y - 1).expand(shape)), dim=-1)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def columns(draws: Tensor, device: torch.device) -> list[Tensor]:
    """The columns of [B, K] as [B, 1, 1] each, on the device."""
    moved = draws.to(device, non_blocking=True)
    return list(moved[..., None, None].unbind(1))


def between(low: float, high: float, draw: Tensor) -> Tensor:
    """From [0, 1) to [low, high), evenly."""
    return low + (high - low) * draw


def evenly_in_ratio(low: float, high: float, draw: Tensor) -> Tensor:
    """From [0, 1) to [low, high), evenly in the logarithm."""
    return low * (high / low) ** draw
