"""Logits of categories for each pixel, without ever holding all of them.

150 categories at 512 pixels are 150 MiB an image, and several times that in a loss. So they are
made from features of a lower resolution strip by strip, and in the backward pass once more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from sihl_trainer.tasks.head import Loss

STRIP = 2**24
"""Logits at the input's resolution that are held at once: 64 MiB of them."""
_SMOOTH = 1.0  # pixels


def category_losses(
    features: Tensor, logits: nn.Conv2d, labels: Tensor, stride: int
) -> dict[str, Loss]:
    """Cross-entropy over known pixels, and Dice over images that have some.

    Cross-entropy is in units of what knowing nothing costs. Dice (Milletari et al., "V-Net", 3DV
    2016) is the mean over the categories that an image has.

    Args:
        features: float [B, D, h, w], B may be 0.
        logits: Makes C logits of D features, each place by itself.
        labels: uint8 or int16 [B, H, W]: 0 to ignore, else the index of the category plus one.
        stride: Pixels of the labels for each of the features.
    """
    count = logits.out_channels
    # Without any image it still hangs on the weights.
    sums = [logits(features[:, :, :1, :1]).float().mean((2, 3))[:, None].expand(-1, 4, -1)[:0]]
    images = max(1, STRIP // (count * labels[:1].numel() or 1))
    # Split once: each slice by itself would have a gradient as large as all features.
    for part, truth in zip(torch.split(features, images), torch.split(labels, images), strict=True):
        strips = [
            _checkpointed(part, logits, truth, rows, stride)
            for rows in _strips(part, count, stride)
        ]
        sums.append(torch.stack(strips).sum(0))
    entropy, shared, found, true = torch.cat(sums).unbind(1)  # [B, C] each
    present = true > 0
    overlap = (2 * shared + _SMOOTH) / (found + true + _SMOOTH)
    distance = torch.where(present, 1 - overlap, 0).sum(1) / present.sum(1).clamp(min=1)
    return {
        "cross_entropy": Loss(entropy.sum() / math.log(max(2, count)), true.sum()),
        "dice": Loss(distance.sum(), present.any(1).sum().float()),
    }


def likeliest(features: Tensor, logits: nn.Conv2d, stride: int, size: tuple[int, int]) -> Tensor:
    """The likeliest category of each pixel.

    Args:
        features, logits: As in `category_losses`.
        stride: Pixels of the result for each of the features.
        size: (height, width) of the result.

    Returns:
        uint8, of over 255 categories int16, [B, H, W] on the CPU: its index plus one.
    """
    kind = torch.uint8 if logits.out_channels < 2**8 else torch.int16
    found = torch.empty(len(features), *size, dtype=kind)
    for image, result in zip(torch.split(features, 1), found, strict=True):
        for rows in _strips(image, logits.out_channels, stride):
            labels = enlarged(image, logits, rows, stride)[0].argmax(0) + 1
            part = result[rows.start * stride : rows.stop * stride]
            part.copy_(labels[: len(part), : size[1]])
    return found


def enlarged(features: Tensor, logits: nn.Conv2d, rows: range, stride: int) -> Tensor:
    """Logits of some rows of features, enlarged as if they had been so with all others.

    Returns:
        float32 [B, C, len(rows) * stride, w * stride], bilinear.
    """
    above, below = max(0, rows.start - 1), min(features.shape[2], rows.stop + 1)
    part = logits(features[:, :, above:below]).float()
    whole = F.interpolate(part, scale_factor=stride, mode="bilinear", align_corners=False)
    return whole[:, :, (rows.start - above) * stride : (rows.stop - above) * stride]


def _strips(features: Tensor, count: int, stride: int) -> Iterator[range]:
    """Rows of features whose logits are held at once."""
    batch, _, height, width = features.shape
    rows = max(1, STRIP // (batch * count * width * stride**2 or 1))
    for first in range(0, height, rows):
        yield range(first, min(height, first + rows))


def _checkpointed(
    features: Tensor, logits: nn.Conv2d, labels: Tensor, rows: range, stride: int
) -> Tensor:
    sums: Tensor = checkpoint(
        _sums, features, logits, labels, rows, stride, use_reentrant=False, preserve_rng_state=False
    )
    return sums


def _sums(features: Tensor, logits: nn.Conv2d, labels: Tensor, rows: range, stride: int) -> Tensor:
    """Over known pixels of a strip, float32 [B, 4, C].

    By true category: cross-entropy, and probability of it; by category: probability of it; by true
    category: pixels.
    """
    truth = labels[:, rows.start * stride : rows.stop * stride].long()
    known = (truth > 0).float().flatten(1)
    index = (truth - 1).clamp(min=0).flatten(1)  # [B, N]
    batch, count = len(features), logits.out_channels
    pixels = enlarged(features, logits, rows, stride)[:, :, : truth.shape[1], : truth.shape[2]]
    logarithm = pixels.flatten(2).log_softmax(1)  # [B, C, N]
    probability = logarithm.exp()
    own = logarithm.gather(1, index[:, None])[:, 0]
    by_truth = torch.stack((-own * known, own.exp() * known, known), 1)
    sums = by_truth.new_zeros(batch, 3, count)
    sums = sums.scatter_add(2, index[:, None].expand_as(by_truth), by_truth)
    found = probability @ known[:, :, None]  # [B, C, 1]
    return torch.cat((sums[:, :2], found.transpose(1, 2), sums[:, 2:]), 1)
