"""What an image's text becomes for the head."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sihl_trainer.tasks.target import Anywhere


@dataclass(frozen=True, eq=False)
class TextTarget(Anywhere):
    """A string of tokens.

    Args:
        tokens: int64 [L], indices into the head's tokens; L is 0 where the image shows no text.
    """

    tokens: Tensor
