"""How well keypoints are found: average precision over their similarity (OKS), and PCK."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from torch import Tensor

from sihl_trainer.tasks.keypoint_detection.geometry import areas, boxes
from sihl_trainer.tasks.keypoint_detection.target import KeypointsTarget
from sihl_trainer.tasks.measures.average_precision import AveragePrecision
from sihl_trainer.tasks.measures.base import Summed, ratios
from sihl_trainer.tasks.measures.geometry import keypoint_similarity
from sihl_trainer.tasks.metric import Directions, Metric

CORRECT = 0.1
"""Of the square root of the instance's area: within it a keypoint is correct."""


@dataclass(frozen=True, eq=False)
class KeypointsPrediction:
    """Instances of one image, the best first.

    Attributes:
        points: float32 [N, K, 2], x, y in pixels of the model's input.
        visibility: float32 [N, K], how probable it is that the keypoint is visible.
        scores: float32 [N].
    """

    points: Tensor
    visibility: Tensor
    scores: Tensor


class KeypointPrecision(Metric):
    """Average precision at similarities of 0.5 to 0.95, at 0.5, at 0.75, recall, and PCK.

    Only visible keypoints are compared, on the scale of the box around them.
    """

    better: ClassVar[Directions] = {
        "map": "higher",
        "map50": "higher",
        "map75": "higher",
        "mar100": "higher",
        "pck": "higher",
    }

    def __init__(self, sigmas: Sequence[float]) -> None:
        self.sigmas = np.array(sigmas)
        self.precision = AveragePrecision(1, max_detections=None)
        self.correct = CorrectKeypoints()

    def update(
        self,
        predictions: Sequence[KeypointsPrediction],
        targets: Sequence[KeypointsTarget],
        places: Sequence[int],
    ) -> None:
        """Count images."""
        for prediction, target, place in zip(predictions, targets, places, strict=True):
            found, true = prediction.points.numpy(), target.points.numpy()
            visible = target.visible.numpy()
            area = areas(boxes(target.points, target.visible)).numpy()
            similarity = keypoint_similarity(found, true, visible, area, self.sigmas)
            self.precision.update(
                similarity,
                prediction.scores.numpy(),
                np.zeros(len(found), np.int64),
                np.zeros(len(true), np.int64),
                image=place,
            )
            self.correct.update(similarity, found, true, visible, area)

    def merge(self, other: Self) -> None:
        """Count the other's images."""
        self.precision.merge(other.precision)
        self.correct.merge(other.correct)

    def compute(self) -> dict[str, float]:
        """map, map50, map75, mar100 and pck; nothing where there is no instance at all."""
        return self.precision.compute() | self.correct.compute()


class CorrectKeypoints(Summed):
    """PCK: the share of visible keypoints that are placed well in the likest detection.

    Yang and Ramanan, "Articulated human detection with flexible mixtures of parts" (TPAMI 2013),
    but on the scale of the instance's area. Keypoints of an instance that is not found count.
    """

    def __init__(self) -> None:
        super().__init__(np.zeros(2, np.int64))

    def update(
        self,
        similarity: np.ndarray,
        found: np.ndarray,
        true: np.ndarray,
        visible: np.ndarray,
        areas: np.ndarray,
    ) -> None:
        """Add an image: similarity [D, G], points [D, K, 2] and [G, K, 2], and [G, K], [G]."""
        correct = 0
        if len(found) and len(true):
            likest = found[similarity.argmax(0)]
            distance = np.linalg.norm(likest - true, axis=-1)
            near = distance <= CORRECT * np.sqrt(areas)[:, None]
            correct = int(np.count_nonzero(visible & near))
        self.totals += np.array([correct, np.count_nonzero(visible)])

    def compute(self) -> dict[str, float]:
        """`pck`."""
        correct, visible = self.totals.tolist()
        return ratios(pck=(correct, visible))
