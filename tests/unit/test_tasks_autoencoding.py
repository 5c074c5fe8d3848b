from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.autoencoding.head import (
    MIDDLE,
    UNIT,
    VISIBLE_WEIGHT,
    Autoencoding,
)
from sihl_trainer.tasks.autoencoding.metric import PERFECT, Reconstruction, ReconstructionQuality
from sihl_trainer.tasks.passes import Pass, View
from sihl_trainer.tasks.target import ImageTarget
from tests.support.overfit import digits, overfitted

TARGET = ImageTarget()


def quality(
    images: Tensor, completed: Tensor, hidden: Tensor, original: Tensor
) -> dict[str, float]:
    metric = ReconstructionQuality()
    rows = [Reconstruction(*row) for row in zip(images, completed, hidden, original, strict=True)]
    metric.update(rows, [TARGET] * len(rows), range(len(rows)))
    return metric.compute()


def test_ratios_are_of_the_error_of_all_pixels_or_of_hidden_ones() -> None:
    original = torch.randint(20, 200, (2, 3, 32, 32), dtype=torch.uint8)
    hidden = torch.zeros(2, 32, 32, dtype=torch.bool)
    hidden[:, :8] = True
    completed = original.clone()
    completed[:, :, :8] += 5
    completed[:, :, 8:] = 0  # not hidden, so nobody's concern
    found = quality(original + 10, completed, hidden, original)
    assert found["psnr"] == pytest.approx(20 * math.log10(255 / 10), abs=1e-3)
    assert found["hidden_psnr"] == pytest.approx(20 * math.log10(255 / 5), abs=1e-3)
    assert 0 < found["ssim"] < 1


def test_an_image_drawn_without_error_is_told_by_a_number() -> None:
    original = torch.full((1, 3, 32, 32), 7, dtype=torch.uint8)
    hidden = torch.ones(1, 32, 32, dtype=torch.bool)
    found = quality(original, original, hidden, original)
    assert found == pytest.approx({"psnr": PERFECT, "ssim": 1.0, "hidden_psnr": PERFECT})


def test_losses_are_squared_errors_of_what_is_hidden_and_absolute_ones_of_what_is_seen() -> None:
    head = Autoencoding(
        HeadConfig(name="h", task="Autoencoding", levels=[2, 2], settings={}), {2: 4}
    )
    torch.nn.init.zeros_(head.pixels.weight)
    assert head.pixels.bias is not None
    torch.nn.init.zeros_(head.pixels.bias)  # so all that it draws is the middle
    images = torch.full((1, 3, 16, 16), MIDDLE)
    images[..., :8] += 2 * UNIT
    hidden = torch.zeros(1, 16, 16, dtype=torch.bool)
    hidden[..., :4] = True
    features = {2: torch.randn(1, 4, 4, 4)}
    views = {
        Pass.PLAIN: View(images, features),
        Pass.MASKED: View(images, features, hidden),
    }
    found = head.loss(views, [TARGET])
    assert float(found["hidden"].mean) == pytest.approx(4)
    assert found["hidden"].amount == 16 * 4
    # Of the masked pass a third of twelve columns, of the plain one half.
    errors = 2 * (4 + 8) / (12 + 16)
    assert float(found["visible"].mean) == pytest.approx(VISIBLE_WEIGHT * errors)


def test_images_of_any_size_are_drawn_at_theirs() -> None:
    config = HeadConfig(name="h", task="Autoencoding", levels=[3, 4], settings={})
    head = Autoencoding(config, {3: 8, 4: 8})
    features = {3: torch.randn(1, 8, 5, 9), 4: torch.randn(1, 8, 3, 5)}
    (found,) = head.predict(View(torch.zeros(1, 3, 33, 70), features))
    assert (found.shape, found.dtype) == ((3, 33, 70), torch.uint8)


@pytest.mark.slow
def test_eight_images_are_drawn_from_memory(tmp_path: Path) -> None:
    shown = digits("unlabelled", tmp_path, Task.AUTOENCODING, size=32)
    found = overfitted(
        shown.info, shown.images, shown.targets, steps=200, rate=3e-3, neck=(1, 2), channels=32
    )
    # An image of the mean colour would have 13 dB.
    assert found["psnr"] > 30
    assert found["ssim"] > 0.8
    assert found["hidden_psnr"] > 16
