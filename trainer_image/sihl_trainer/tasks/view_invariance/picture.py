"""An image beside the second view that its embedding was held against."""

from __future__ import annotations

from PIL import Image

from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.drawing import caption
from sihl_trainer.tasks.picture import Painter
from sihl_trainer.tasks.target import ImageTarget
from sihl_trainer.tasks.view_invariance.metric import TwoViews


class SecondViewPainter(Painter):
    """The second view, and how alike the two are to the model."""

    def target(self, canvas: Image.Image, target: ImageTarget) -> Image.Image:  # noqa: ARG002
        """The image itself."""
        return canvas

    def prediction(self, canvas: Image.Image, prediction: TwoViews) -> Image.Image:  # noqa: ARG002
        """The second view, and the cosine of the two views' features."""
        second = Image.fromarray(prediction.second.permute(1, 2, 0).numpy())
        return caption(second, f"cosine {float(prediction.cosine):.2f}", 0)

    def written(
        self,
        prediction: TwoViews,
        size: tuple[int, int],  # noqa: ARG002
        fit: Letterboxing,  # noqa: ARG002
    ) -> list[float]:
        """The embedding."""
        return [round(value, 4) for value in prediction.embedding.tolist()]


PAINTER = SecondViewPainter
