"""How far predicted depths are from the true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from torch import Tensor

from sihl_trainer.tasks.depth_estimation.target import DepthTarget
from sihl_trainer.tasks.measures.depth import DepthErrors
from sihl_trainer.tasks.metric import Directions, Metric


@dataclass(frozen=True, eq=False)
class DepthPrediction:
    """A map of distances: float32 [H, W], in the unit of the head's range."""

    depths: Tensor


class DepthAccuracy(Metric):
    """Errors over all pixels whose depth is known."""

    better: ClassVar[Directions] = {
        "abs_rel": "lower",
        "rmse": "lower",
        "delta1": "higher",
        "silog": "lower",
    }

    def __init__(self) -> None:
        self.errors = DepthErrors()

    def update(
        self,
        predictions: Sequence[DepthPrediction],
        targets: Sequence[DepthTarget],
        places: Sequence[int],  # noqa: ARG002
    ) -> None:
        """Count the known pixels of images."""
        for prediction, target in zip(predictions, targets, strict=True):
            self.errors.update(target.steps.numpy() * target.scale, prediction.depths.numpy())

    def merge(self, other: Self) -> None:
        """Count the other's pixels."""
        self.errors.merge(other.errors)

    def compute(self) -> dict[str, float]:
        """abs_rel, rmse, delta1 and silog; nothing where no depth is known."""
        return self.errors.compute()
