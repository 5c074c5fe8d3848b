"""A category written on its image."""

from __future__ import annotations

from PIL import Image

from sihl_api.record import HeadConfig
from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.drawing import caption
from sihl_trainer.tasks.multiclass_classification.metric import CategoryPrediction
from sihl_trainer.tasks.multiclass_classification.target import CategoryTarget
from sihl_trainer.tasks.picture import Painter


class CategoryPainter(Painter):
    """The category's name, and how sure the head is of it."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.categories: list[str] = list(config.settings["categories"])

    def target(self, canvas: Image.Image, target: CategoryTarget) -> Image.Image:
        """The category's name."""
        return caption(canvas, self.categories[target.category], target.category)

    def prediction(self, canvas: Image.Image, prediction: CategoryPrediction) -> Image.Image:
        """The likeliest category's name and probability."""
        category = prediction.category
        share = float(prediction.probabilities[category])
        return caption(canvas, f"{self.categories[category]} {share:.0%}", category)

    def written(
        self,
        prediction: CategoryPrediction,
        size: tuple[int, int],  # noqa: ARG002
        fit: Letterboxing,  # noqa: ARG002
    ) -> str:
        """The likeliest category's name."""
        return self.categories[prediction.category]


PAINTER = CategoryPainter
