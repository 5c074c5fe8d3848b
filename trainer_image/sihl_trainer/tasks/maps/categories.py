"""Logits of categories at the input's resolution, without ever holding all of them.

150 categories at 512 pixels are 150 MiB an image, several times that in a loss, and heads have them
at a fraction of the resolution only. So they are enlarged strip by strip, and in the backward pass
once more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from sihl_trainer.tasks.head import Loss

STRIP = 2**24
"""Logits at the input's resolution that are held at once: 64 MiB of them."""
_SMOOTH = 1.0  # pixels


def category_losses(logits: Tensor, labels: Tensor, stride: int) -> dict[str, Loss]:
    """Cross-entropy over known pixels, and Dice over images that have some.

    Cross-entropy is in units of what knowing nothing costs. Dice (Milletari et al., "V-Net", 3DV
    2016) is the mean over the categories that an image has.

    Args:
        logits: float [B, C, h, w], B may be 0.
        labels: uint8 or int16 [B, H, W]: 0 to ignore, else the index of the category plus one.
        stride: Pixels of the labels for each of the logits.
    """
    count = logits.shape[1]
    sums = [logits.float().sum() * 0 + logits.new_zeros(0, 4, count, dtype=torch.float32)]
    images = max(1, STRIP // (count * labels[:1].numel() or 1))
    # Split once: each slice by itself would have a gradient as large as all logits.
    for part, truth in zip(torch.split(logits, images), torch.split(labels, images), strict=True):
        strips = [_checkpointed(part, truth, rows, stride) for rows in _strips(part, stride)]
        sums.append(torch.stack(strips).sum(0))
    entropy, shared, found, true = torch.cat(sums).unbind(1)  # [B, C] each
    present = true > 0
    overlap = (2 * shared + _SMOOTH) / (found + true + _SMOOTH)
    distance = torch.where(present, 1 - overlap, 0).sum(1) / present.sum(1).clamp(min=1)
    return {
        "cross_entropy": Loss(entropy.sum() / math.log(max(2, count)), true.sum()),
        "dice": Loss(distance.sum(), present.any(1).sum().float()),
    }


def likeliest(logits: Tensor, stride: int, size: tuple[int, int]) -> Tensor:
    """The likeliest category of each pixel.

    Args:
        logits: float [B, C, h, w].
        stride: Pixels of the result for each of the logits.
        size: (height, width) of the result.

    Returns:
        uint8, of over 255 categories int16, [B, H, W] on the CPU: its index plus one.
    """
    kind = torch.uint8 if logits.shape[1] < 2**8 else torch.int16
    found = torch.empty(len(logits), *size, dtype=kind)
    for row, image in enumerate(logits):
        for rows in _strips(image[None], stride):
            labels = enlarged(image[None], rows, stride)[0].argmax(0) + 1
            part = found[row, rows.start * stride : rows.stop * stride]
            part.copy_(labels[: len(part), : size[1]])
    return found


def enlarged(values: Tensor, rows: range, stride: int) -> Tensor:
    """Rows of a map, each cell as `stride` by `stride` pixels: as if all had been enlarged.

    Args:
        values: [B, C, h, w].
        rows: Of cells, one after the other.
        stride: Pixels for each cell.

    Returns:
        float32 [B, C, len(rows) * stride, w * stride], bilinear.
    """
    above, below = max(0, rows.start - 1), min(values.shape[2], rows.stop + 1)
    part = values[:, :, above:below].float()
    whole = F.interpolate(part, scale_factor=stride, mode="bilinear", align_corners=False)
    return whole[:, :, (rows.start - above) * stride : (rows.stop - above) * stride]


def _strips(values: Tensor, stride: int) -> Iterator[range]:
    """Rows of cells that are enlarged at once."""
    batch, count, height, width = values.shape
    rows = max(1, STRIP // (batch * count * width * stride**2 or 1))
    for first in range(0, height, rows):
        yield range(first, min(height, first + rows))


def _checkpointed(logits: Tensor, labels: Tensor, rows: range, stride: int) -> Tensor:
    sums: Tensor = checkpoint(
        _sums, logits, labels, rows, stride, use_reentrant=False, preserve_rng_state=False
    )
    return sums


def _sums(logits: Tensor, labels: Tensor, rows: range, stride: int) -> Tensor:
    """Over known pixels of a strip, float32 [B, 4, C].

    By true category: cross-entropy, and probability of it; by category: probability of it; by true
    category: pixels.
    """
    truth = labels[:, rows.start * stride : rows.stop * stride].long()
    known = (truth > 0).float().flatten(1)
    index = (truth - 1).clamp(min=0).flatten(1)  # [B, N]
    batch, count = logits.shape[:2]
    pixels = enlarged(logits, rows, stride)[:, :, : truth.shape[1], : truth.shape[2]]
    logarithm = pixels.flatten(2).log_softmax(1)  # [B, C, N]
    probability = logarithm.exp()
    own = logarithm.gather(1, index[:, None])[:, 0]
    by_truth = torch.stack((-own * known, own.exp() * known, known), 1)
    sums = by_truth.new_zeros(batch, 3, count)
    sums = sums.scatter_add(2, index[:, None].expand_as(by_truth), by_truth)
    found = probability @ known[:, :, None]  # [B, C, 1]
    return torch.cat((sums[:, :2], found.transpose(1, 2), sums[:, 2:]), 1)
