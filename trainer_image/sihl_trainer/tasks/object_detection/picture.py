"""Boxes drawn on their image."""

from __future__ import annotations

from typing import Any

from PIL import Image
from torch import Tensor

from sihl_api.record import HeadConfig
from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.drawing import outlined
from sihl_trainer.tasks.object_detection.metric import BoxesPrediction
from sihl_trainer.tasks.object_detection.target import BoxesTarget
from sihl_trainer.tasks.picture import SHOWN_SCORE, Painter


class BoxesPainter(Painter):
    """Outlines in the categories' colours, with their names."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.categories: list[str] = list(config.settings["categories"])

    def target(self, canvas: Image.Image, target: BoxesTarget) -> Image.Image:
        """All boxes."""
        return self._outlined(canvas, target.boxes, target.categories)

    def prediction(self, canvas: Image.Image, prediction: BoxesPrediction) -> Image.Image:
        """Boxes of which the head is fairly sure."""
        sure = prediction.scores >= SHOWN_SCORE
        return self._outlined(canvas, prediction.boxes[sure], prediction.categories[sure])

    def _outlined(self, canvas: Image.Image, boxes: Tensor, categories: Tensor) -> Image.Image:
        for (left, top, right, bottom), category in zip(
            boxes.tolist(), categories.tolist(), strict=True
        ):
            corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
            outlined(canvas, corners, category, self.categories[category])
        return canvas

    def written(
        self, prediction: BoxesPrediction, size: tuple[int, int], fit: Letterboxing
    ) -> list[Any]:
        """Boxes of which the head is fairly sure, with their scores, within the original.

        One that is none any more, since all of it lies outside, is left out.
        """
        width, height = size
        boxes = fit.placement.invert(prediction.boxes)
        boxes[:, 0::2] = boxes[:, 0::2].clamp(0, width)
        boxes[:, 1::2] = boxes[:, 1::2].clamp(0, height)
        found = zip(
            boxes.tolist(), prediction.categories.tolist(), prediction.scores.tolist(), strict=True
        )
        entries: list[Any] = []
        for box, category, score in found:
            left, top, right, bottom = (round(side, 2) for side in box)
            if score >= SHOWN_SCORE and left < right and top < bottom:
                entries.append(
                    {
                        "category": self.categories[category],
                        "bbox": [left, top, right, bottom],
                        "score": round(score, 4),
                    }
                )
        return entries


PAINTER = BoxesPainter
