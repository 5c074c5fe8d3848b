"""Running statistics of passes whose images are like no plain one.

Xie et al., "Adversarial Examples Improve Image Recognition" (AdvProp), CVPR 2020: what is drawn
from another distribution is normalized by statistics of its own, in learning and afterwards, and
leaves those of plain images alone. Weights are shared by all, unlike there: it is the same network
that has to learn from both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Norm = nn.modules.batchnorm._BatchNorm
_MOMENTS = {"mean": "running_mean", "var": "running_var"}


class OwnStatistics(nn.Module):
    """Running means and variances of one pass, for all of a network's batch norms.

    Args:
        norms: The network's.

    Attributes:
        mean, var: float32 [the sum of the norms' channels], norm after norm.
    """

    mean: Tensor
    var: Tensor

    def __init__(self, norms: Sequence[Norm]) -> None:
        super().__init__()
        self.widths = [norm.num_features for norm in norms]
        self.register_buffer("mean", torch.zeros(sum(self.widths)))
        self.register_buffer("var", torch.ones(sum(self.widths)))

    @contextmanager
    def used(self, norms: Sequence[Norm]) -> Iterator[None]:
        """The norms read and, in training, move these meanwhile."""
        names = (*_MOMENTS.values(), "num_batches_tracked")
        plain = [[getattr(norm, name) for name in names] for norm in norms]
        parts = (torch.split(moment, self.widths) for moment in (self.mean, self.var))
        own = zip(*parts, strict=True)
        for norm, (mean, var) in zip(norms, own, strict=True):
            norm.running_mean, norm.running_var, norm.num_batches_tracked = mean, var, None
        try:
            yield
        finally:
            for norm, values in zip(norms, plain, strict=True):
                for name, value in zip(names, values, strict=True):
                    setattr(norm, name, value)


@contextmanager
def unmoved(norms: Sequence[Norm]) -> Iterator[None]:
    """Batches are normalized by their own statistics, and leave the running ones as they are."""
    for norm in norms:
        norm.track_running_stats = not norm.training
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def norms_of(network: nn.Module) -> dict[str, Norm]:
    """All batch norms by name, in the order in which they were made."""
    return {name: each for name, each in network.named_modules() if isinstance(each, Norm)}


def completed(
    state: Mapping[str, Any], passes: Mapping[str, nn.Module], norms: Sequence[str]
) -> dict[str, Any]:
    """Weights with a pass's statistics, where they are of a model of old, which had none.

    Those are then the plain images', by which it was validated.

    Args:
        state: Weights by name.
        passes: `OwnStatistics` by name.
        norms: Names.
    """
    whole = dict(state)
    for name in passes:
        for moment, running in _MOMENTS.items():
            plain = [f"{norm}.{running}" for norm in norms]
            if all(each in state for each in plain):
                whole.setdefault(f"{name}.{moment}", torch.cat([state[each] for each in plain]))
    return whole
