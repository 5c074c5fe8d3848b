"""What heads and passes have to do with each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from torch import Tensor

from sihl_trainer.data.draws import Stream, uniform

Features = Mapping[int, Tensor]
"""By level, [B, C_i, H_i, W_i]."""


class Pass(StrEnum):
    """What is shown."""

    PLAIN = "plain"
    """The image as the loader gives it."""
    SECOND_VIEW = "second view"
    """Another crop of it, in other colours."""
    MASKED = "masked"
    """With most of its patches hidden."""
    BLENDED = "blended"
    """With patches blended in that come from elsewhere, often from other images of the batch."""

    @property
    def unlike_plain(self) -> bool:
        """Whether no image that is predicted could look so: it has running statistics of its own.

        What could is measured as it would be predicted, by those of plain images.
        """
        return self is Pass.MASKED


@dataclass(frozen=True, eq=False)
class View:
    """What one pass saw.

    Attributes:
        images: float [B, 3, H, W] in 0 to 255, as they were shown.
        features: Of the neck, or of the backbone where there is none.
        changed: bool [B, H, W], the pixels that the pass hid or blended; None where it did neither.
    """

    images: Tensor
    features: Features
    changed: Tensor | None = None


Views = Mapping[Pass, View]


@dataclass(frozen=True)
class Keys:
    """What the changes to a batch are a function of, so that a resumed run makes the same.

    Attributes:
        seed: The job's.
        epochs, indices: Of each of B images.
        mirror: Whether the job lets images be mirrored.
    """

    seed: int
    epochs: Sequence[int]
    indices: Sequence[int]
    mirror: bool = False

    def draw(self, count: int, stream: Stream) -> Tensor:
        """float32 [B, count] in [0, 1)."""
        rows = [
            uniform(count, self.seed, epoch, index, stream)
            for epoch, index in zip(self.epochs, self.indices, strict=True)
        ]
        return torch.from_numpy(np.stack(rows).astype(np.float32))
