"""Quadrilaterals drawn on their image."""

from __future__ import annotations

from typing import Any

from PIL import Image
from torch import Tensor

from sihl_api.record import HeadConfig
from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.drawing import outlined
from sihl_trainer.tasks.picture import SHOWN_SCORE, Painter
from sihl_trainer.tasks.quadrilateral_detection.annotations import fault_in
from sihl_trainer.tasks.quadrilateral_detection.metric import QuadrilateralsPrediction
from sihl_trainer.tasks.quadrilateral_detection.target import QuadrilateralsTarget


class QuadrilateralsPainter(Painter):
    """Outlines in the categories' colours, with their names."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.categories: list[str] = list(config.settings["categories"])

    def target(self, canvas: Image.Image, target: QuadrilateralsTarget) -> Image.Image:
        """All quadrilaterals."""
        return self._outlined(canvas, target.corners, target.categories)

    def prediction(self, canvas: Image.Image, prediction: QuadrilateralsPrediction) -> Image.Image:
        """Quadrilaterals of which the head is fairly sure."""
        sure = prediction.scores >= SHOWN_SCORE
        return self._outlined(canvas, prediction.corners[sure], prediction.categories[sure])

    def _outlined(self, canvas: Image.Image, corners: Tensor, categories: Tensor) -> Image.Image:
        for quad, category in zip(corners.tolist(), categories.tolist(), strict=True):
            points = [(x, y) for x, y in quad]
            outlined(canvas, points, category, self.categories[category])
        return canvas

    def written(
        self, prediction: QuadrilateralsPrediction, size: tuple[int, int], fit: Letterboxing
    ) -> list[Any]:
        """Quadrilaterals of which the head is fairly sure, with their scores.

        Within the original; one that is none any more, since all of it lies outside, is left out.
        """
        corners = fit.placement.invert(prediction.corners)
        corners = corners.clamp(min=0).minimum(corners.new_tensor(size))
        found = zip(
            corners.tolist(),
            prediction.categories.tolist(),
            prediction.scores.tolist(),
            strict=True,
        )
        entries: list[Any] = []
        for quad, category, score in found:
            rounded = [(round(x, 2), round(y, 2)) for x, y in quad]
            if score < SHOWN_SCORE or fault_in(rounded):
                continue
            entries.append(
                {
                    "category": self.categories[category],
                    "quad": [list(corner) for corner in rounded],
                    "score": round(score, 4),
                }
            )
        return entries


PAINTER = QuadrilateralsPainter
