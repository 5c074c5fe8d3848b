"""An image drawn again."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.autoencoding.metric import Reconstruction
from sihl_trainer.tasks.picture import MapFile, Painter, encoded
from sihl_trainer.tasks.target import ImageTarget


class ReconstructionPainter(Painter):
    """What was drawn from the whole image, and from what was left of it."""

    def target(self, canvas: Image.Image, target: ImageTarget) -> Image.Image:  # noqa: ARG002
        """The image itself."""
        return canvas

    def prediction(self, canvas: Image.Image, prediction: Reconstruction) -> Image.Image:  # noqa: ARG002
        """From the whole image, and beside it the rest as it is with the hidden part as drawn."""
        patched = torch.where(prediction.hidden, prediction.completed, prediction.original)
        return _image(torch.cat((prediction.image, patched), dim=2))

    def written(
        self, prediction: Reconstruction, size: tuple[int, int], fit: Letterboxing
    ) -> MapFile:
        """The image as a PNG file of the original's size."""
        left, top = fit.placement.left, fit.placement.top
        box = (left, top, left + fit.size[0], top + fit.size[1])
        return MapFile(".png", encoded(_image(prediction.image).crop(box).resize(size)))


def _image(pixels: Tensor) -> Image.Image:
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())


PAINTER = ReconstructionPainter
