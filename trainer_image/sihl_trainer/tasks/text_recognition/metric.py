"""How well text is read: by token, and to the last one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from torch import Tensor

from sihl_trainer.tasks.measures.text import TextErrors
from sihl_trainer.tasks.metric import Directions, Metric
from sihl_trainer.tasks.text_recognition.target import TextTarget


@dataclass(frozen=True, eq=False)
class TextPrediction:
    """What is read in one image.

    Attributes:
        tokens: int64 [L], indices into the head's tokens.
        confidence: The probability that the head gives to this text, over all its alignments.
    """

    tokens: Tensor
    confidence: float


class ReadingErrors(Metric):
    """Tokens to insert, delete or replace as a part of all true ones; texts without an error."""

    better: ClassVar[Directions] = {"character_error_rate": "lower", "exact_match": "higher"}

    def __init__(self) -> None:
        self.errors = TextErrors()

    def update(
        self,
        predictions: Sequence[TextPrediction],
        targets: Sequence[TextTarget],
        places: Sequence[int],  # noqa: ARG002
    ) -> None:
        """Count images."""
        for prediction, target in zip(predictions, targets, strict=True):
            self.errors.update(target.tokens.tolist(), prediction.tokens.tolist())

    def merge(self, other: Self) -> None:
        """Count the other's images."""
        self.errors.merge(other.errors)

    def compute(self) -> dict[str, float]:
        """`character_error_rate`, which can exceed 1, and `exact_match`."""
        return self.errors.compute()
