"""Heads by themselves: what they are shown, without a backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sihl_trainer.tasks.head import Head
from sihl_trainer.tasks.passes import Pass, View, Views


def view(features: Mapping[int, Tensor]) -> View:
    """A plain view of these features, by level; its images are blank and of their size."""
    level = min(features)
    batch, _, height, width = features[level].shape
    return View(torch.zeros(batch, 3, height * 2**level, width * 2**level), features)


def plain(features: Mapping[int, Tensor]) -> Views:
    """The plain pass and no other."""
    return {Pass.PLAIN: view(features)}


def measured(head: Head, predictions: Sequence[Any], targets: Sequence[Any]) -> dict[str, float]:
    """What the head's metric says of them."""
    metric = head.metric()
    metric.update(predictions, targets, range(len(targets)))
    return metric.compute()
