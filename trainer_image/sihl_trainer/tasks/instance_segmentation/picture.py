"""Masks drawn on their image, and written as pages."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sihl_api.record import HeadConfig
from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.instance_segmentation.target import InstancesTarget
from sihl_trainer.tasks.masks.crops import InstancesPrediction
from sihl_trainer.tasks.masks.drawing import drawn
from sihl_trainer.tasks.masks.pages import SUFFIXES, hits, written
from sihl_trainer.tasks.picture import SHOWN_SCORE, MapFile, Painter


class MasksPainter(Painter):
    """Each object in a colour of its own, with its category's name."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.categories: list[str] = list(config.settings["categories"])
        self.colors: dict[str, list[int]] = dict(config.settings.get("colors", {}))

    def target(self, canvas: Image.Image, target: InstancesTarget) -> Image.Image:
        """All objects."""
        names = [self.categories[category] for category in target.categories.tolist()]
        return drawn(canvas, zip(target.boxes, target.masks(), names, strict=True))

    def prediction(self, canvas: Image.Image, prediction: InstancesPrediction) -> Image.Image:
        """Objects of which the head is fairly sure."""
        sure = prediction.surer(SHOWN_SCORE)
        names = [self.categories[category] for category in sure.categories.tolist()]
        return drawn(canvas, zip(sure.boxes, sure.masks, names, strict=True))

    def written(
        self, prediction: InstancesPrediction, size: tuple[int, int], fit: Letterboxing
    ) -> MapFile:
        """Objects of which the head is fairly sure, a page each; one black page if there is none.

        At the size of the original. Objects that have no pixel of it are left out, and so are
        those of categories that have no colour.
        """
        content = written(self._pages(prediction.surer(SHOWN_SCORE), size, fit))
        return MapFile(SUFFIXES[0], content)

    def _pages(
        self, prediction: InstancesPrediction, size: tuple[int, int], fit: Letterboxing
    ) -> Iterator[NDArray[np.uint8]]:
        rows, columns = hits(size, fit)
        empty = True
        for ((ys, xs), mask), category in zip(
            prediction.windows(), prediction.categories.tolist(), strict=True
        ):
            # Rows and columns only grow: those that lie in the mask's box are next to each other.
            top, bottom = np.searchsorted(rows, (ys.start, ys.stop))
            left, right = np.searchsorted(columns, (xs.start, xs.stop))
            found = mask.numpy()[
                np.ix_(rows[top:bottom] - ys.start, columns[left:right] - xs.start)
            ]
            color = self.colors.get(self.categories[category])
            if color is None or not found.any():
                continue
            page = np.zeros((size[1], size[0], 3), np.uint8)
            page[top:bottom, left:right][found] = color
            empty = False
            yield page
        if empty:
            yield np.zeros((size[1], size[0], 3), np.uint8)


PAINTER = MasksPainter
