"""Where an image is odd, as a heat map."""

from __future__ import annotations

import numpy as np
from PIL import Image

from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.anomaly_detection.metric import Examined
from sihl_trainer.tasks.drawing import caption
from sihl_trainer.tasks.picture import Painter, Written
from sihl_trainer.tasks.target import ImageTarget


class HeatPainter(Painter):
    """The image in grey, the redder the odder, and its score."""

    def target(self, canvas: Image.Image, target: ImageTarget) -> Image.Image:  # noqa: ARG002
        """The image itself."""
        return canvas

    def prediction(self, canvas: Image.Image, prediction: Examined) -> Image.Image:
        """The map over the image, and the image's score."""
        coarse = Image.fromarray((255 * prediction.plain.map.numpy()).round().astype(np.uint8))
        heat = coarse.resize(canvas.size, Image.Resampling.BILINEAR)
        grey = canvas.convert("L").convert("RGB")
        hot = Image.composite(Image.new("RGB", canvas.size, (255, 32, 0)), grey, heat)
        return caption(hot, f"{prediction.plain.score:.2f}", 0)

    def written(
        self,
        prediction: Examined,
        size: tuple[int, int],  # noqa: ARG002
        fit: Letterboxing,  # noqa: ARG002
    ) -> Written:
        """The image's score."""
        return {"score": round(prediction.plain.score, 4)}


PAINTER = HeatPainter
