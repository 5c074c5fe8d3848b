"""A value written on its image."""

from __future__ import annotations

from PIL import Image

from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.drawing import caption
from sihl_trainer.tasks.picture import Painter
from sihl_trainer.tasks.regression.target import ValueTarget


class ValuePainter(Painter):
    """The value, to four digits."""

    def target(self, canvas: Image.Image, target: ValueTarget) -> Image.Image:
        """The true value."""
        return caption(canvas, f"{target.value:.4g}", 0)

    def prediction(self, canvas: Image.Image, prediction: float) -> Image.Image:
        """The predicted value."""
        return caption(canvas, f"{prediction:.4g}", 0)

    def written(
        self,
        prediction: float,
        size: tuple[int, int],  # noqa: ARG002
        fit: Letterboxing,  # noqa: ARG002
    ) -> float:
        """The predicted value."""
        return prediction


PAINTER = ValuePainter
