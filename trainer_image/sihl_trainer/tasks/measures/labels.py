"""How well any number of labels an image are told: ranking, and yes or no."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sihl_trainer.tasks.measures.base import Kept
from sihl_trainer.tasks.measures.roc import areas


class Labels(Kept):
    """The mean over labels of their average precision (macro), and F1 over all of them (micro).

    Labels that no image has are left out of the mean: they have no precision. F1 takes each pair
    of an image and a label alike, so that false alarms of such labels count there. Where no image
    has any label, there is neither. Probabilities are kept as float32.

    Args:
        labels: How many there are.
        threshold: From this probability on a label is taken to be there.
    """

    def __init__(self, labels: int, threshold: float = 0.5) -> None:
        super().__init__([("probability", "f4", (labels,)), ("present", "?", (labels,))])
        self.threshold = threshold

    def update(self, present: ArrayLike, probabilities: ArrayLike) -> None:
        """Add which labels are there, bool [B, C], and their probabilities, float [B, C]."""
        probability = np.nan_to_num(np.asarray(probabilities, np.float32))
        self.rows.add(len(probability), probability=probability, present=present)

    def compute(self) -> dict[str, float]:
        """`average_precision` and `f1`."""
        table = self.rows.table()
        present, probability = table["present"], table["probability"]
        found = probability >= np.float32(self.threshold)
        precisions = [
            areas(present[:, label], probability[:, label])["average_precision"]
            for label in np.flatnonzero(present.any(0))
        ]
        if not precisions:
            return {}
        hits = int((present & found).sum())
        return {
            "average_precision": sum(precisions) / len(precisions),
            "f1": 2 * hits / int(present.sum() + found.sum()),
        }
