"""Keypoints drawn on their image."""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageDraw
from torch import Tensor

from sihl_api.record import HeadConfig
from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.drawing import color_of
from sihl_trainer.tasks.keypoint_detection.annotations import SCORE
from sihl_trainer.tasks.keypoint_detection.geometry import boxes
from sihl_trainer.tasks.keypoint_detection.head import VISIBLE
from sihl_trainer.tasks.keypoint_detection.metric import KeypointsPrediction
from sihl_trainer.tasks.keypoint_detection.target import KeypointsTarget
from sihl_trainer.tasks.picture import SHOWN_SCORE, Painter

_RADIUS = 2.5
_FRAME = "gray"


class KeypointsPainter(Painter):
    """A dot for each visible keypoint, in the keypoint's colour; a thin frame holds an instance's.

    Of predictions, keypoints that are taken for invisible are rings.
    """

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.keypoints: list[str] = list(config.settings["keypoints"])

    def target(self, canvas: Image.Image, target: KeypointsTarget) -> Image.Image:
        """All instances."""
        for points, visible in zip(target.points, target.visible, strict=True):
            _frame(canvas, points, visible)
            for number in visible.nonzero().flatten().tolist():
                _dot(canvas, points[number], number)
        return canvas

    def prediction(self, canvas: Image.Image, prediction: KeypointsPrediction) -> Image.Image:
        """Instances of which the head is fairly sure."""
        sure = prediction.scores >= SHOWN_SCORE
        visible = prediction.visibility[sure] >= VISIBLE
        for points, seen in zip(prediction.points[sure], visible, strict=True):
            if seen.any():
                _frame(canvas, points, seen)
            for number, shown in enumerate(seen.tolist()):
                _dot(canvas, points[number], number, filled=shown)
        return canvas

    def written(
        self, prediction: KeypointsPrediction, size: tuple[int, int], fit: Letterboxing
    ) -> list[Any]:
        """Instances of which the head is fairly sure, with their scores, within the original."""
        points = fit.placement.invert(prediction.points)
        limit = points.new_tensor(size)
        points = points.clamp(min=0).minimum(limit)
        found = zip(points, prediction.visibility, prediction.scores.tolist(), strict=True)
        return [
            self._entry(where, visibility) | self._score(score)
            for where, visibility, score in found
            if score >= SHOWN_SCORE
        ]

    def _entry(self, points: Tensor, visibility: Tensor) -> dict[str, Any]:
        return {
            name: [round(x, 2), round(y, 2)] if seen else None
            for name, (x, y), seen in zip(
                self.keypoints, points.tolist(), (visibility >= VISIBLE).tolist(), strict=True
            )
        }

    def _score(self, score: float) -> dict[str, Any]:
        return {} if SCORE in self.keypoints else {SCORE: round(score, 4)}


def _frame(canvas: Image.Image, points: Tensor, visible: Tensor) -> None:
    ImageDraw.Draw(canvas).rectangle(boxes(points, visible).tolist(), outline=_FRAME)


def _dot(canvas: Image.Image, point: Tensor, number: int, *, filled: bool = True) -> None:
    x, y = point.tolist()
    place = (x - _RADIUS, y - _RADIUS, x + _RADIUS, y + _RADIUS)
    color = color_of(number)
    ImageDraw.Draw(canvas).ellipse(place, fill=color if filled else None, outline=color)


PAINTER = KeypointsPainter
