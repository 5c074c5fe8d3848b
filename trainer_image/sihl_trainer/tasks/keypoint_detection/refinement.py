"""A second look: where a keypoint was expected, the finest features tell where it is.

An instance's point is as far from its keypoints as the instance is large, and tells all of them at
once; of what lies around each it sees little. So each is corrected by what is seen around the place
where it is expected, as by one step of Carreira et al., "Human Pose Estimation with Iterative Error
Feedback", CVPR 2016.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sihl_trainer.tasks.device import on_device

WIDTH = 64
REACH = 1
"""Cells that are looked at to each side of the expected one."""


class Refinement(nn.Module):
    """Shifts keypoints by what is seen around them.

    Args:
        channels: Of features.
        keypoints: How many an instance has.
    """

    def __init__(self, channels: int, keypoints: int) -> None:
        super().__init__()
        self.seen = nn.Conv2d(channels, WIDTH, 1)
        self.around = nn.Linear((2 * REACH + 1) ** 2 * WIDTH, WIDTH)
        self.instance = nn.Linear(channels, WIDTH)
        self.which = nn.Parameter(torch.zeros(keypoints, WIDTH))
        self.mixed = nn.Linear(WIDTH, WIDTH)
        self.shift = nn.Linear(WIDTH, 2)
        nn.init.normal_(self.which, std=0.1)
        nn.init.normal_(self.shift.weight, std=0.01)
        nn.init.zeros_(self.shift.bias)

    def forward(
        self, features: Tensor, stride: int, instances: Tensor, keypoints: Tensor
    ) -> Tensor:
        """float32 [B, S, K, 2], in pixels: better keypoints.

        Args:
            features: [B, C, H, W], of the finest level.
            stride: Its pixels between points.
            instances: [B, S, C], what the instances' points see.
            keypoints: float [B, S, K, 2], in pixels, where they are expected.
        """
        near = neighbourhood(self.seen(features).float(), stride, keypoints)
        found = self.around(near) + self.instance(instances)[:, :, None] + self.which
        found = F.relu(self.mixed(F.relu(found)))
        shift: Tensor = self.shift(found)
        return keypoints + shift.float() * stride


def neighbourhood(seen: Tensor, stride: int, places: Tensor) -> Tensor:
    """float [B, S, K, cells * C]: features around places, row by row of the cells.

    Args:
        seen: float [B, C, H, W].
        stride: Its pixels between points.
        places: float [B, S, K, 2], in pixels.
    """
    batch, count, kinds, _ = places.shape
    width, (rows, columns) = seen.shape[1], seen.shape[-2:]
    side = torch.arange(-REACH, REACH + 1, device=seen.device, dtype=places.dtype) * stride
    y, x = torch.meshgrid(side, side, indexing="ij")
    cells = torch.stack((x.flatten(), y.flatten()), -1)  # [cells, 2]
    around = places[..., None, :] + cells
    grid = around / on_device([float(columns * stride), float(rows * stride)], around) * 2 - 1
    found = F.grid_sample(
        seen, grid.flatten(1, 2), padding_mode="border", align_corners=False
    )  # [B, C, S * K, cells]
    return found.permute(0, 2, 3, 1).reshape(batch, count, kinds, len(cells) * width)
