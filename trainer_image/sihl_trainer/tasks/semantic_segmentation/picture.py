"""Maps of categories laid over their image."""

from __future__ import annotations

from PIL import Image
from torch import Tensor

from sihl_api.record import HeadConfig
from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.drawing import tinted
from sihl_trainer.tasks.maps.palette import Palette
from sihl_trainer.tasks.maps.placement import restored
from sihl_trainer.tasks.picture import MapFile, Painter, encoded
from sihl_trainer.tasks.semantic_segmentation.metric import SemanticPrediction
from sihl_trainer.tasks.semantic_segmentation.target import SemanticTarget


class SemanticPainter(Painter):
    """The categories in the metadata's colours."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.palette = Palette(config.settings["categories"], config.settings["colors"])

    def target(self, canvas: Image.Image, target: SemanticTarget) -> Image.Image:
        """What is annotated; what is ignored stays as it is."""
        return self._tinted(canvas, target.labels)

    def prediction(self, canvas: Image.Image, prediction: SemanticPrediction) -> Image.Image:
        """The likeliest category of each pixel."""
        return self._tinted(canvas, prediction.labels)

    def _tinted(self, canvas: Image.Image, labels: Tensor) -> Image.Image:
        values = labels.numpy()
        return tinted(canvas, self.palette.colors(values), values > 0)

    def written(
        self, prediction: SemanticPrediction, size: tuple[int, int], fit: Letterboxing
    ) -> MapFile:
        """A map of the original in the categories' colours."""
        labels = restored(prediction.labels, size, fit).numpy()
        return MapFile(".png", encoded(Image.fromarray(self.palette.colors(labels))))


PAINTER = SemanticPainter
