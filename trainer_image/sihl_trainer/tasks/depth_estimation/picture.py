"""Depths as colours, from near to far."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.depth_estimation.annotations import DepthInfo
from sihl_trainer.tasks.depth_estimation.metric import DepthPrediction
from sihl_trainer.tasks.depth_estimation.target import DepthTarget
from sihl_trainer.tasks.maps.placement import restored
from sihl_trainer.tasks.picture import MapFile, Painter, encoded

_RAMP = np.array(
    [(250, 230, 40), (120, 205, 85), (35, 165, 130), (45, 110, 140), (65, 65, 130), (65, 5, 85)],
    np.float64,
)
"""From near to far: ever darker, so that it reads without colours as well."""


class DepthPainter(Painter):
    """Near is bright, far is dark."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        nearest, farthest = config.settings["range"]
        scale = config.settings["scale"]
        self.info = DepthInfo(
            Task.DEPTH_ESTIMATION, nearest=nearest, farthest=farthest, scale=scale
        )

    def target(self, canvas: Image.Image, target: DepthTarget) -> Image.Image:
        """What is known; elsewhere the image stays."""
        return self._colored(canvas, target.steps.numpy() * target.scale)

    def prediction(self, canvas: Image.Image, prediction: DepthPrediction) -> Image.Image:
        """The distance of each pixel."""
        return self._colored(canvas, prediction.depths.numpy())

    def _colored(self, canvas: Image.Image, depths: NDArray[np.floating]) -> Image.Image:
        known = depths > 0
        pixels = np.array(canvas)
        share = self._share(depths[known])
        at = share * (len(_RAMP) - 1)
        columns = [np.interp(at, range(len(_RAMP)), channel) for channel in _RAMP.T]
        pixels[known] = np.stack(columns, -1).round()
        return Image.fromarray(pixels)

    def _share(self, depths: NDArray[np.floating]) -> NDArray[np.floating]:
        """How far along the range, 0 to 1: of logarithms, as the head has it, if it can be."""
        if self.info.nearest > 0:
            depths = np.log(depths / self.info.nearest) / math.log(
                self.info.farthest / self.info.nearest
            )
        else:
            depths = depths / self.info.farthest
        return depths.clip(0, 1)

    def written(
        self, prediction: DepthPrediction, size: tuple[int, int], fit: Letterboxing
    ) -> MapFile:
        """A map of the original in steps of the dataset's, 16 bits."""
        depths = restored(prediction.depths, size, fit).numpy()
        least, most = self.info.steps
        steps = (depths / self.info.scale).round().clip(least, most)
        return MapFile(".png", encoded(Image.fromarray(steps.astype(np.uint16))))


PAINTER = DepthPainter
