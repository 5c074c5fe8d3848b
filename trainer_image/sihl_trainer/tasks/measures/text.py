"""Errors of text that was read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sihl_trainer.tasks.measures.base import Summed, ratios


class TextErrors(Summed):
    """Errors by character over all texts, and the texts that are right to the last one.

    Attributes:
        totals: int64 [4]: texts, those that are exact, characters of the truth, and edits.
    """

    def __init__(self) -> None:
        super().__init__(np.zeros(4, np.int64))

    def update(self, true: Sequence[object], predicted: Sequence[object]) -> None:
        """Add a text: its characters, or tokens of any other kind."""
        self.totals += (1, true == predicted, len(true), edit_distance(true, predicted))

    def compute(self) -> dict[str, float]:
        """`character_error_rate`, which can exceed 1, and `exact_match`."""
        texts, exact, characters, edits = self.totals.tolist()
        return ratios(character_error_rate=(edits, characters), exact_match=(exact, texts))


def edit_distance(one: Sequence[object], other: Sequence[object]) -> int:
    """The fewest characters to insert, delete or replace (Levenshtein, 1966)."""
    distances = list(range(len(other) + 1))  # of one's beginning to each beginning of the other
    for i, a in enumerate(one, 1):
        before, distances[0] = distances[0], i
        for j, b in enumerate(other, 1):
            replaced = before + (a != b)
            before = distances[j]
            distances[j] = min(replaced, before + 1, distances[j - 1] + 1)
    return distances[-1]
