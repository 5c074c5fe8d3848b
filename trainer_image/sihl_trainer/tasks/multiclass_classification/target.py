"""What an image's category becomes for the head."""

from __future__ import annotations

from dataclasses import dataclass

from sihl_trainer.tasks.target import Anywhere


@dataclass(frozen=True)
class CategoryTarget(Anywhere):
    """An index into the head's categories."""

    category: int
