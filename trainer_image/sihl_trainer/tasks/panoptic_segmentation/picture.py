"""Segments laid over their image, and written as two pages."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torch import Tensor

from sihl_api.record import HeadConfig
from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.drawing import tinted
from sihl_trainer.tasks.maps.palette import Palette
from sihl_trainer.tasks.maps.placement import restored
from sihl_trainer.tasks.masks.drawing import outlined_map
from sihl_trainer.tasks.masks.pages import SUFFIXES, written
from sihl_trainer.tasks.panoptic_segmentation.metric import PanopticPrediction, category_map
from sihl_trainer.tasks.panoptic_segmentation.target import PanopticTarget
from sihl_trainer.tasks.picture import MapFile, Painter


class PanopticPainter(Painter):
    """Segments in the metadata's colours, with borders between them."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.palette = Palette(config.settings["categories"], config.settings["colors"])

    def target(self, canvas: Image.Image, target: PanopticTarget) -> Image.Image:
        """What is annotated; what is ignored stays as it is."""
        return self._tinted(canvas, target.segments, target.categories)

    def prediction(self, canvas: Image.Image, prediction: PanopticPrediction) -> Image.Image:
        """All segments."""
        return self._tinted(canvas, prediction.segments, prediction.categories)

    def _tinted(self, canvas: Image.Image, segments: Tensor, categories: Tensor) -> Image.Image:
        numbers = segments.numpy()
        colors = self.palette.colors(category_map(numbers, categories) + 1)
        borders = np.zeros(numbers.shape, bool)
        borders[:, 1:] |= numbers[:, 1:] != numbers[:, :-1]
        borders[1:] |= numbers[1:] != numbers[:-1]
        white = np.full_like(colors, 255)
        return outlined_map(tinted(canvas, colors, numbers > 0), white, borders)

    def written(
        self, prediction: PanopticPrediction, size: tuple[int, int], fit: Letterboxing
    ) -> MapFile:
        """A map of the original in the categories' colours, and one of the segments' numbers."""
        numbers = restored(prediction.segments, size, fit).numpy()
        colors = self.palette.colors(category_map(numbers, prediction.categories) + 1)
        kind = np.uint8 if len(prediction.categories) < 2**8 else np.uint16
        return MapFile(SUFFIXES[0], written([colors, numbers.astype(kind)]))


PAINTER = PanopticPainter
