"""How much embeddings keep apart of different images, and how little of views of the same one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sihl_trainer.tasks.measures.base import Summed
from sihl_trainer.tasks.measures.retrieval import Retrieval
from sihl_trainer.tasks.metric import Directions, Metric
from sihl_trainer.tasks.target import ImageTarget

_EPSILON = 1e-7


@dataclass(frozen=True, eq=False)
class TwoViews:
    """What an image and another view of it became.

    Attributes:
        embedding: float32 [C], the plain image's pooled features: the prediction.
        projected: float32 [E], its projection.
        other: float32 [E], that of the second view.
        cosine: float32 scalar, between the two views' pooled features.
        second: uint8 [3, H, W], the second view.
    """

    embedding: Tensor
    projected: Tensor
    other: Tensor
    cosine: Tensor
    second: Tensor


class ViewAgreement(Metric):
    """RankMe, the mean cosine of views, and retrieval of one view by the other.

    Of projections: `effective_rank` (see `EffectiveRank`, of plain images), `alignment` (mean
    cosine of an image's two views), `contrast` (how much more that is than the mean cosine of
    different images: 0 where all is alike) and `recall1` (share of views whose nearest among all
    views of all images is their own other one).

    Args:
        length: Of a projection.
    """

    better: ClassVar[Directions] = {
        "effective_rank": "higher",
        "alignment": None,
        "contrast": "higher",
        "recall1": "higher",
    }

    def __init__(self, length: int) -> None:
        self.rank = EffectiveRank(length)
        self.cosines = Cosines(length)
        self.retrieval = Retrieval(length)

    def update(
        self,
        predictions: Sequence[TwoViews],
        targets: Sequence[ImageTarget],  # noqa: ARG002
        places: Sequence[int],
    ) -> None:
        """Count images."""
        plain = torch.stack([each.projected for each in predictions]).numpy()
        other = torch.stack([each.other for each in predictions]).numpy()
        self.rank.update(plain)
        self.cosines.update(plain, other)
        self.retrieval.update(plain, list(places))
        self.retrieval.update(other, list(places))

    def merge(self, other: Self) -> None:
        """Count the other's images."""
        self.rank.merge(other.rank)
        self.cosines.merge(other.cosines)
        self.retrieval.merge(other.retrieval)

    def compute(self) -> dict[str, float]:
        """`effective_rank`, `alignment`, `contrast` and `recall1`."""
        found = {**self.rank.compute(), **self.cosines.compute()}
        recall = self.retrieval.compute().get("recall1")
        return found if recall is None else found | {"recall1": recall}


class EffectiveRank(Summed):
    """The exponential of the entropy of singular values: Garrido et al., "RankMe", ICML 2023.

    As there, of the matrix of all embeddings as they are, not centred: its singular values are the
    roots of the eigenvalues of the sum of outer products, which is all that is kept.

    Attributes:
        totals: float64 [E, E], that sum.
    """

    def __init__(self, length: int) -> None:
        super().__init__(np.zeros((length, length)))

    def update(self, embeddings: NDArray[Any]) -> None:
        """Add embeddings [B, E]."""
        rows = np.nan_to_num(embeddings.astype(np.float64))
        self.totals += rows.T @ rows

    def compute(self) -> dict[str, float]:
        """`effective_rank`: from 1, all on one line, to E; 0 where all are zero."""
        values = np.sqrt(np.linalg.eigvalsh(self.totals).clip(min=0))
        if not values.sum():
            return {"effective_rank": 0.0}
        shares = values / values.sum() + _EPSILON
        return {"effective_rank": float(np.exp(-(shares * np.log(shares)).sum()))}


class Cosines(Summed):
    """Mean cosine of two views of an image, beside that of different images.

    Attributes:
        totals: float64 [3 + E]: images, the sum of their views' cosines, the sum of the squared
            norms of plain directions (which is how many have one), and the sum of directions.
    """

    def __init__(self, length: int) -> None:
        super().__init__(np.zeros(3 + length))

    def update(self, plain: NDArray[Any], other: NDArray[Any]) -> None:
        """Add embeddings [B, E] of both views."""
        one, two = _directions(plain), _directions(other)
        self.totals[0] += len(one)
        self.totals[1] += (one * two).sum()
        self.totals[2] += np.square(one).sum()
        self.totals[3:] += one.sum(0)

    def compute(self) -> dict[str, float]:
        """`alignment` and `contrast`."""
        count, alike, norms = self.totals[:3]
        alignment = alike / max(1.0, count)
        pairs = max(1.0, count * (count - 1))
        different = (np.square(self.totals[3:]).sum() - norms) / pairs
        return {"alignment": float(alignment), "contrast": float(alignment - different)}


def _directions(embeddings: NDArray[Any]) -> NDArray[Any]:
    rows = np.nan_to_num(embeddings.astype(np.float64))
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1.0))
