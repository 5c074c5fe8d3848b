"""How well images of one identity find one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from sihl_trainer.tasks.measures.retrieval import Retrieval
from sihl_trainer.tasks.metric import Directions, Metric
from sihl_trainer.tasks.metric_learning.target import IdentityTarget


@dataclass(frozen=True, eq=False)
class EmbeddingPrediction:
    """Where an image lies among others.

    Attributes:
        embedding: float32 [E], of length one: two images are as like as their product.
        identity: The training identity that is nearest.
        similarity: To it, a cosine.
    """

    embedding: Tensor
    identity: int
    similarity: float


class IdentityRetrieval(Metric):
    """Recall@1, R-precision and MAP@R over all images of the set.

    Args:
        length: Of an embedding.
    """

    better: ClassVar[Directions] = {"recall1": "higher", "r_precision": "higher", "map_r": "higher"}

    def __init__(self, length: int) -> None:
        self.measure = Retrieval(length)

    def update(
        self,
        predictions: Sequence[EmbeddingPrediction],
        targets: Sequence[IdentityTarget],
        places: Sequence[int],  # noqa: ARG002
    ) -> None:
        """Count images."""
        self.measure.update(
            torch.stack([prediction.embedding for prediction in predictions]).numpy(),
            [target.identity for target in targets],
        )

    def merge(self, other: Self) -> None:
        """Count the other's images."""
        self.measure.merge(other.measure)

    def compute(self) -> dict[str, float]:
        """recall1, r_precision and map_r; nothing where no identity has two images."""
        return self.measure.compute()
