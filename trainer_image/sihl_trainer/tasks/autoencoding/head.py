"""Autoencoding: images of which most is hidden are drawn again, from features of all levels.

As Tian et al., "SparK" (ICLR 2023), and He et al., "MAE" (CVPR 2022), but with a dense encoder that
sees what is hidden as blank, and with pixels as they are for targets, not normalized by patch: so
that what is drawn is an image. Whole images are drawn again as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.autoencoding.metric import Reconstruction, ReconstructionQuality
from sihl_trainer.tasks.dense.merging import Merging, fine_levels
from sihl_trainer.tasks.head import Head, Loss
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.passes import Features, Pass, View, Views
from sihl_trainer.tasks.target import Target

WIDTH = 128
VISIBLE_WEIGHT = 4.0
"""What is seen is drawn exactly, by the absolute error (Zhao et al., "Loss Functions for Image
Restoration with Neural Networks", 2017): squares of small errors would drown in those of what is
hidden and can only be guessed."""
MIDDLE, UNIT = 127.5, 64.0
"""Of values from 0 to 255: what is learnt is (value - MIDDLE) / UNIT, of the order of one."""


class Autoencoding(Head):
    """An image drawn again."""

    task = Task.AUTOENCODING
    passes = frozenset((Pass.PLAIN, Pass.MASKED))
    examined = frozenset((Pass.PLAIN, Pass.MASKED))

    def __init__(self, config: HeadConfig, channels: Mapping[int, int]) -> None:
        super().__init__(config, channels)
        self.stride = 2 ** self.levels[0]
        self.merging = Merging(channels, self.levels, WIDTH)
        self.pixels = nn.Conv2d(WIDTH, 3 * self.stride**2, 1)

    @classmethod
    def settings(cls, info: HeadInfo) -> dict[str, Any]:  # noqa: ARG003
        """Nothing."""
        return {}

    @classmethod
    def default_levels(cls, channels: Mapping[int, int], has_neck: bool) -> list[int]:
        """All of a neck's levels, or the backbone's from stride 4 on."""
        return fine_levels(channels, has_neck)

    def _drawn(self, features: Features, size: torch.Size) -> Tensor:
        """float32 [B, 3, H, W], in units of what is learnt."""
        blocks = self.pixels(self.merging(features))
        return F.pixel_shuffle(blocks.float(), self.stride)[..., : size[0], : size[1]]

    def loss(self, views: Views, targets: Sequence[Target | None]) -> dict[str, Loss]:
        """Squared error where the masked pass hid something, and absolute error by pixel elsewhere.

        Elsewhere is also all of the plain pass, which is what images are drawn from afterwards.
        """
        plain, masked = views[Pass.PLAIN], views[Pass.MASKED]
        assert masked.changed is not None
        counted = [target is not None for target in targets]
        rows = torch.tensor(counted).to(plain.images.device, non_blocking=True).view(-1, 1, 1)
        size = plain.images.shape[-2:]
        truth = (plain.images - MIDDLE) / UNIT
        from_masked = self._drawn(masked.features, size) - truth  # [B, 3, H, W]
        from_plain = self._drawn(plain.features, size) - truth
        hidden = (masked.changed & rows).float()
        visible = (~masked.changed & rows).float()
        easy = (from_masked.abs().mean(1) * visible).sum() + (from_plain.abs().mean(1) * rows).sum()
        amount = visible.sum() + rows.sum() * size.numel()
        return {
            "hidden": Loss((from_masked.square().mean(1) * hidden).sum(), hidden.sum()),
            "visible": Loss(VISIBLE_WEIGHT * easy, amount),
        }

    def predict(self, view: View) -> list[Tensor]:
        """Each image as it is drawn again, uint8 [3, H, W]."""
        drawn = self._drawn(view.features, view.images.shape[-2:]) * UNIT + MIDDLE
        return list(_bytes(drawn))

    def examine(self, views: Views) -> list[Reconstruction]:
        """Images drawn from the plain pass and from the masked one, beside what they are."""
        plain, masked = views[Pass.PLAIN], views[Pass.MASKED]
        assert masked.changed is not None
        columns = (
            self.predict(plain),
            self.predict(masked),
            masked.changed.cpu(),
            _bytes(plain.images),
        )
        return [Reconstruction(*row) for row in zip(*columns, strict=True)]

    def metric(self) -> ReconstructionQuality:
        """PSNR and SSIM."""
        return ReconstructionQuality()


def _bytes(images: Tensor) -> Tensor:
    return images.round().clamp(0, 255).to(torch.uint8).cpu()


HEAD = Autoencoding
