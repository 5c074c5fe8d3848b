"""What an image's labels become for the head."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sihl_trainer.tasks.target import Anywhere


@dataclass(frozen=True, eq=False)
class LabelsTarget(Anywhere):
    """The labels that an image has, and no other.

    Args:
        labels: int64 [K], distinct indices into the head's labels, ascending; K may be 0.
    """

    labels: Tensor
