"""What holds for every head that learns from images alone."""

from __future__ import annotations

import math
from io import BytesIO

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from sihl_api.record import HeadConfig
from sihl_api.tasks import SELF_SUPERVISED, Task
from sihl_trainer.data.letterbox import letterboxing
from sihl_trainer.model.model import VisionModel
from sihl_trainer.tasks.autoencoding.metric import Reconstruction
from sihl_trainer.tasks.head import Loss
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.picture import MapFile, Pictured, files
from sihl_trainer.tasks.rooms import head_of, painter_of
from sihl_trainer.tasks.target import ImageTarget
from tests.support.overfit import digits, keys, network

TARGET = ImageTarget()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    folder = tmp_path_factory.mktemp("digits")
    return digits("anomaly", folder, Task.AUTOENCODING, size=64).images


def losses(
    model: VisionModel, images: Tensor, targets: list[ImageTarget | None]
) -> dict[str, Loss]:
    head = model.head("head")
    return head.loss(model.views(images, head.passes, keys(len(images), 0)), targets)


@pytest.mark.parametrize("task", SELF_SUPERVISED)
def test_losses_are_of_the_order_of_one_before_anything_is_learnt(
    task: Task, images: Tensor
) -> None:
    found = losses(network(HeadInfo(task), images), images, [TARGET] * len(images))
    means = [loss.mean.item() for loss in found.values()]
    assert 0.1 < sum(means) < 10
    assert max(means) < 6  # the images are noise, of which there is most to be drawn


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("task", SELF_SUPERVISED)
def test_batches_of_one_or_two_images_are_learnt_from_at_any_precision(
    task: Task, count: int, precision: torch.dtype, images: Tensor
) -> None:
    model = network(HeadInfo(task), images)
    with torch.autocast("cpu", precision, enabled=precision is not torch.float32):
        found = losses(model, images[:count], [TARGET] * count)
    assert all(loss.total.dtype == torch.float32 for loss in found.values())
    total = torch.stack([loss.mean for loss in found.values()]).sum()
    total.backward()  # type: ignore[no-untyped-call]
    assert math.isfinite(total)
    gradients = [p.grad for p in model.head("head").parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("task", SELF_SUPERVISED)
def test_images_that_do_not_feed_the_head_count_for_nothing(task: Task, images: Tensor) -> None:
    model = network(HeadInfo(task), images).eval()
    head = model.head("head")
    shown = model.views(images, head.passes | head.examined, keys(len(images), 0))
    partly: list[ImageTarget | None] = [TARGET, None] * (len(images) // 2)
    other = {
        which: type(view)(
            spoilt(view.images), {i: spoilt(f) for i, f in view.features.items()}, view.changed
        )
        for which, view in shown.items()
    }
    one, two = head.loss(shown, partly), head.loss(other, partly)
    for name, loss in one.items():
        assert float(loss.mean) == pytest.approx(float(two[name].mean), rel=1e-4)
    nothing = head.loss(shown, [None] * len(images))
    assert all(float(loss.total) == float(loss.amount) == 0 for loss in nothing.values())
    torch.stack([loss.mean for loss in nothing.values()]).sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and not p.grad.any() for p in head.parameters())


def spoilt(values: Tensor) -> Tensor:
    """With other values for every second image."""
    return torch.cat([torch.stack((a, a + 1)) for a in values[::2]])


@pytest.mark.parametrize("task", SELF_SUPERVISED)
def test_ranks_measure_together_what_one_measures_alone(task: Task, images: Tensor) -> None:
    model = network(HeadInfo(task), images).eval()
    head = model.head("head")
    with torch.inference_mode():
        found = head.examine(model.views(images, head.examined, keys(len(images), 0)))
    alone, one, other = head.metric(), head.metric(), head.metric()
    places = list(range(len(found)))
    alone.update(found, [TARGET] * len(found), places)
    one.update(found[::2], [TARGET] * 4, places[::2])
    other.update(found[1::2], [TARGET] * 4, places[1::2])
    one.merge(other)
    assert one.compute() == pytest.approx(alone.compute(), rel=1e-4)
    assert all(math.isfinite(value) for value in alone.compute().values())


@pytest.mark.parametrize("task", SELF_SUPERVISED)
def test_what_is_predicted_is_drawn_and_written(task: Task, images: Tensor) -> None:
    model = network(HeadInfo(task), images).eval()
    head = model.head("head")
    with torch.inference_mode():
        found = head.examine(model.views(images, head.examined, keys(len(images), 0)))
    fit = letterboxing((100, 60), (64, 64))
    pictured = [
        Pictured(f"{i}.jpg", image, (100, 60), fit, TARGET, prediction)
        for i, (image, prediction) in enumerate(zip(images, found, strict=True))
    ]
    written = files(painter_of(task)(head.config), pictured)
    assert {f"{i}.jpg.png" for i in range(8)} < set(written)
    assert all(content.startswith(b"\x89PNG") for name, content in written.items() if "png" in name)


@pytest.mark.parametrize("task", SELF_SUPERVISED)
@pytest.mark.parametrize(
    ("channels", "has_neck"), [({1: 4, 2: 8, 3: 8, 4: 8}, False), ({3: 8, 4: 8, 5: 8}, True)]
)
def test_a_head_fits_the_levels_that_it_takes_by_default(
    task: Task, channels: dict[int, int], has_neck: bool
) -> None:
    kind = head_of(task)
    levels = kind.default_levels(channels, has_neck)
    head = kind(HeadConfig(name="h", task=task.value, levels=levels, settings={}), channels)
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in head.modules())


def test_half_a_letterbox_comes_off_before_a_reconstruction_is_written() -> None:
    drawn = torch.zeros(3, 64, 64, dtype=torch.uint8)
    drawn[:, 16:48] = 200  # 100 x 50 pixels lie there
    fit = letterboxing((100, 50), (64, 64))
    config = HeadConfig(name="h", task="Autoencoding", levels=[2, 2], settings={})
    painter = painter_of(Task.AUTOENCODING)(config)
    hidden = torch.zeros(64, 64, dtype=torch.bool)
    written = painter.written(Reconstruction(drawn, drawn, hidden, drawn), (100, 50), fit)
    assert isinstance(written, MapFile)
    found = Image.open(BytesIO(written.content))
    assert found.size == (100, 50)
    assert found.getextrema() == ((200, 200),) * 3
