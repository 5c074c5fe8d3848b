"""How far predicted values are from true ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from sihl_trainer.tasks.measures.scalar import Regression as Errors
from sihl_trainer.tasks.metric import Directions, Metric
from sihl_trainer.tasks.regression.target import ValueTarget


class ValueErrors(Metric):
    """Errors, correlation, and the error of whoever always says the mean."""

    better: ClassVar[Directions] = {
        "mae": "lower",
        "rmse": "lower",
        "r2": "higher",
        "spearman": "higher",
        "mae_of_mean": None,
    }

    def __init__(self) -> None:
        self.measure = Errors()

    def update(
        self,
        predictions: Sequence[float],
        targets: Sequence[ValueTarget],
        places: Sequence[int],  # noqa: ARG002
    ) -> None:
        """Count images."""
        self.measure.update([target.value for target in targets], predictions)

    def merge(self, other: Self) -> None:
        """Count the other's images."""
        self.measure.merge(other.measure)

    def compute(self) -> dict[str, float]:
        """mae, rmse, r2, spearman and mae_of_mean; of constant values there is no R2."""
        return self.measure.compute()
