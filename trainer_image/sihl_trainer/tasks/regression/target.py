"""What an image's value becomes for the head."""

from __future__ import annotations

from dataclasses import dataclass

from sihl_trainer.tasks.target import Anywhere


@dataclass(frozen=True)
class ValueTarget(Anywhere):
    """A number within the head's range."""

    value: float
