"""How well boxes are found: COCO's mean average precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from torch import Tensor
from torchmetrics.detection import MeanAveragePrecision

from sihl_trainer.tasks.metric import Metric
from sihl_trainer.tasks.object_detection.target import BoxesTarget


@dataclass(frozen=True, eq=False)
class BoxesPrediction:
    """Detections of one image, the best first.

    Attributes:
        boxes: float32 [N, 4], xyxy in pixels of the model's input.
        categories: int64 [N].
        scores: float32 [N].
    """

    boxes: Tensor
    categories: Tensor
    scores: Tensor


class BoxPrecision(Metric):
    """Over IoU 0.5 to 0.95, at 0.5, at 0.75, and recall."""

    def __init__(self, categories: int) -> None:
        self.categories = categories
        self.pairs: list[tuple[BoxesPrediction, BoxesTarget]] = []

    def update(
        self, predictions: Sequence[BoxesPrediction], targets: Sequence[BoxesTarget]
    ) -> None:
        """Count images."""
        self.pairs += zip(predictions, targets, strict=True)

    def merge(self, other: Self) -> None:
        """Count the other's images."""
        self.pairs += other.pairs

    def compute(self) -> dict[str, float]:
        """COCO says -1 where there is no object at all; we say 0."""
        metric = MeanAveragePrecision(backend="faster_coco_eval", sync_on_compute=False)
        metric.warn_on_many_detections = False
        metric.update(
            [{"boxes": p.boxes, "scores": p.scores, "labels": p.categories} for p, _ in self.pairs],
            [{"boxes": t.boxes, "labels": t.categories} for _, t in self.pairs],
        )
        found = metric.compute()
        names = {"map": "map", "map50": "map_50", "map75": "map_75", "mar100": "mar_100"}
        return {ours: max(0.0, float(found[theirs])) for ours, theirs in names.items()}
