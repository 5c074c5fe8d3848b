"""How near drawn images are to the real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure

from sihl_trainer.tasks.metric import Collected, Directions
from sihl_trainer.tasks.target import ImageTarget

PERFECT = 100.0
"""What the ratio of images without any error is said to be: infinity is no number to compare."""
_RANGE = 255.0


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """An image drawn again.

    Attributes:
        image: uint8 [3, H, W], from the whole image: the prediction.
        completed: uint8 [3, H, W], from what the mask left.
        hidden: bool [H, W], what it hid.
        original: uint8 [3, H, W].
    """

    image: Tensor
    completed: Tensor
    hidden: Tensor
    original: Tensor


class ReconstructionQuality(Collected):
    """Peak signal-to-noise ratio in decibels, and structural similarity.

    `psnr` and `ssim` (Wang et al., 2004) are of images drawn from the whole image, at the input's
    size and with its padding; `hidden_psnr` is of hidden pixels only, drawn from what the mask
    left. Ratios are of the mean error over all pixels of all images.
    """

    better: ClassVar[Directions] = {"psnr": "higher", "ssim": "higher", "hidden_psnr": "higher"}

    def __init__(self) -> None:
        super().__init__(
            {
                "psnr": PeakSignalNoiseRatio(data_range=_RANGE, sync_on_compute=False),
                "ssim": StructuralSimilarityIndexMeasure(data_range=_RANGE, sync_on_compute=False),
                "hidden_psnr": PeakSignalNoiseRatio(data_range=_RANGE, sync_on_compute=False),
            }
        )

    def update(
        self,
        predictions: Sequence[Reconstruction],
        targets: Sequence[ImageTarget],  # noqa: ARG002
        places: Sequence[int],  # noqa: ARG002
    ) -> None:
        """Count images, one at a time: large ones would fill the memory with floats."""
        for each in predictions:
            original = each.original.float()
            for name in ("psnr", "ssim"):
                self.instruments[name].update(each.image.float()[None], original[None])
            completed = each.completed.float()[:, each.hidden]
            self.instruments["hidden_psnr"].update(completed, original[:, each.hidden])

    def compute(self) -> dict[str, float]:
        """`psnr`, `ssim` and `hidden_psnr`."""
        found = super().compute()
        return {name: min(value, PERFECT) for name, value in found.items()}
