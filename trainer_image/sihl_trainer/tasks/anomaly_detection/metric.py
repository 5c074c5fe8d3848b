"""How well synthetic anomalies are told from normal images, and from which score on one is odd.

No real anomaly is known while training: names say that these are synthetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from torch import Tensor

from sihl_trainer.tasks.measures.base import Kept
from sihl_trainer.tasks.measures.roc import BinnedRoc, Roc
from sihl_trainer.tasks.metric import Directions, Metric
from sihl_trainer.tasks.target import ImageTarget

NORMAL_SHARE = 0.99
"""Of normal images have at most the threshold's score."""


@dataclass(frozen=True, eq=False)
class AnomalyPrediction:
    """How odd an image is.

    Attributes:
        map: float32 [h, w] in 0 to 1, at the stride of the head's finest level.
        score: In 0 to 1, the image's.
    """

    map: Tensor
    score: float


@dataclass(frozen=True, eq=False)
class Examined:
    """What is said of an image, and of what was blended into it.

    Attributes:
        plain: Of the image: the prediction.
        blended: Of the blended one.
        changed: bool [h, w], what changed, of the maps' size.
    """

    plain: AnomalyPrediction
    blended: AnomalyPrediction
    changed: Tensor


class Detectability(Metric):
    """Of validation images as they are, and with patches blended in.

    `synthetic_auroc` is of images by their scores (blended ones that changed at no place of the
    map are left out); `synthetic_pixel_auroc` of the blended images' places; `threshold` the score
    that `NORMAL_SHARE` of plain images do not exceed: what scores more is odd.
    """

    better: ClassVar[Directions] = {
        "synthetic_auroc": "higher",
        "synthetic_pixel_auroc": "higher",
        "threshold": None,
    }

    def __init__(self) -> None:
        self.images = Roc()
        self.pixels = BinnedRoc()
        self.normal = Quantile()

    def update(
        self,
        predictions: Sequence[Examined],
        targets: Sequence[ImageTarget],  # noqa: ARG002
        places: Sequence[int],  # noqa: ARG002
    ) -> None:
        """Count images."""
        normal = [each.plain.score for each in predictions]
        odd = [each.blended.score for each in predictions if each.changed.any()]
        self.images.update([False] * len(normal) + [True] * len(odd), normal + odd)
        self.normal.update(normal)
        for each in predictions:
            self.pixels.update(each.changed.numpy(), each.blended.map.numpy())

    def merge(self, other: Self) -> None:
        """Count the other's images."""
        self.images.merge(other.images)
        self.pixels.merge(other.pixels)
        self.normal.merge(other.normal)

    def compute(self) -> dict[str, float]:
        """`synthetic_auroc`, `synthetic_pixel_auroc` and `threshold`."""
        curves = {"synthetic_auroc": self.images, "synthetic_pixel_auroc": self.pixels}
        found = {name: curve.compute().get("auroc") for name, curve in curves.items()}
        known = {name: value for name, value in found.items() if value is not None}
        return known | self.normal.compute()


class Quantile(Kept):
    """The score that `NORMAL_SHARE` of scores do not exceed."""

    def __init__(self) -> None:
        super().__init__([("score", "f8")])

    def update(self, scores: Sequence[float]) -> None:
        """Add scores."""
        self.rows.add(len(scores), score=np.nan_to_num(scores))

    def compute(self) -> dict[str, float]:
        """`threshold`."""
        scores = self.rows.table()["score"]
        return {"threshold": float(np.quantile(scores, NORMAL_SHARE))} if len(scores) else {}
