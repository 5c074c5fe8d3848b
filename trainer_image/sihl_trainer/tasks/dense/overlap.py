"""How much boxes overlap, xyxy, without asking the device which of them do.

torchvision's loss picks the boxes that overlap by a mask, and waits for it five times.
"""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST = 1e-9  # of what is divided by: square pixels
_EPSILON = 1e-7  # torchvision's


def giou_loss(found: Tensor, true: Tensor) -> Tensor:
    """float [...]: 1 - GIoU of boxes [..., 4] (Rezatofighi et al., CVPR 2019), 0 to 2."""
    low = torch.maximum(found[..., :2], true[..., :2])
    sides = torch.minimum(found[..., 2:], true[..., 2:]) - low
    both = (sides > 0).all(-1, keepdim=True)
    width, height = torch.where(both, sides, 0.0).unbind(-1)
    shared = width * height
    united = _area(found) + _area(true) - shared
    low = torch.minimum(found[..., :2], true[..., :2])
    width, height = (torch.maximum(found[..., 2:], true[..., 2:]) - low).unbind(-1)
    around = width * height
    return 1 - shared / (united + _EPSILON) + (around - united) / (around + _EPSILON)


def pairwise_iou(one: Tensor, other: Tensor) -> Tensor:
    """[B, M, P]: intersection over union of boxes [B, M, 4] and [B, P, 4], xyxy; 0 where empty.

    torchvision's takes one image at a time.
    """
    one, other = one[:, :, None], other[:, None]  # [B, M, 1, 4], [B, 1, P, 4]
    corner = torch.maximum(one[..., :2], other[..., :2])
    width, height = (torch.minimum(one[..., 2:], other[..., 2:]) - corner).clamp(min=0).unbind(-1)
    shared = width * height
    united = _area(one) + _area(other) - shared
    return shared / united.clamp(min=_LEAST)


def _area(boxes: Tensor) -> Tensor:
    left, top, right, bottom = boxes.unbind(-1)
    return (right - left) * (bottom - top)
