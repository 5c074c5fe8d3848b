"""Embeddings of two views alike, and those of different images not: without pairs of images.

Bardes et al., "VICReg: Variance-Invariance-Covariance Regularization", ICLR 2022. Each term is of
the batch of one rank, so nothing travels between ranks.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from sihl_trainer.tasks.head import Loss

COVARIANCE_WEIGHT = 1 / 25
"""As published, where the two others weigh 25 and this one 1."""
_EPSILON = 1e-4


def losses(one: Tensor, other: Tensor) -> dict[str, Loss]:
    """The three terms, each a mean over images.

    A single image has no variance: then only the invariance counts.

    Args:
        one: float32 [B, E], embeddings of one view.
        other: Of the other one.
    """
    count, width = one.shape
    amount = one.new_full((), float(count))
    several = amount if count > 1 else amount * 0
    views = [one - one.mean(0), other - other.mean(0)] if count else [one, other]
    free = max(1, count - 1)
    covariances = [view.T @ view / free for view in views]  # [E, E] each
    spread = sum(_narrowness(each.diagonal()) for each in covariances) / 2
    shared = sum(_off_diagonal(each) for each in covariances) / width
    return {
        "invariance": Loss(F.mse_loss(one, other, reduction="sum") / width, amount),
        "variance": Loss(spread * several, several),
        "covariance": Loss(COVARIANCE_WEIGHT * shared * several, several),
    }


def _narrowness(variances: Tensor) -> Tensor:
    """By how much standard deviations are below one."""
    return F.relu(1 - (variances + _EPSILON).sqrt()).mean()


def _off_diagonal(covariance: Tensor) -> Tensor:
    """The sum of the squares of what is not on the diagonal."""
    return covariance.square().sum() - covariance.diagonal().square().sum()
