"""Passes: what images are shown as, and what that costs the network."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sihl_api.record import HeadConfig, ModelConfig
from sihl_api.tasks import Task
from sihl_trainer.model.model import VisionModel
from sihl_trainer.tasks.passes import Keys, Pass, shown
from sihl_trainer.tasks.passes.blended import CLEAR
from sihl_trainer.tasks.passes.masked import PATCH, patch_side
from sihl_trainer.tasks.passes.second_view import AREA, ASPECT, cropped
from tests.support.training import same

CHANGING = [Pass.SECOND_VIEW, Pass.MASKED, Pass.BLENDED]


def noise(count: int, size: tuple[int, int] = (48, 64), seed: int = 0) -> Tensor:
    """Coarse, so that neighbours are alike as in photographs."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((count, 3, size[0] // 8, size[1] // 8), generator=generator) * 255
    return torch.nn.functional.interpolate(coarse, size, mode="bilinear").to(torch.uint8)


def keys(*indices: int, epoch: int = 0, seed: int = 0) -> Keys:
    return Keys(seed, [epoch] * len(indices), indices)


# --- what they are a function of -------------------------------------------------------------


@pytest.mark.parametrize("which", CHANGING)
def test_a_pass_follows_from_seed_epoch_and_index_alone(which: Pass) -> None:
    images = noise(2)
    first, _ = shown(which, images, keys(3, 4))
    again, _ = shown(which, images, keys(3, 4))
    assert torch.equal(first, again)
    for other in (keys(3, 5), keys(3, 4, epoch=1), keys(3, 4, seed=1)):
        assert not torch.equal(first[1], shown(which, images, other)[0][1])


@pytest.mark.parametrize("which", [Pass.SECOND_VIEW, Pass.MASKED])
def test_it_matters_not_which_images_are_beside_one(which: Pass) -> None:
    images = noise(4)
    together, _ = shown(which, images, keys(0, 1, 2, 3))
    for index in range(4):
        alone, _ = shown(which, images[index : index + 1], keys(index))
        torch.testing.assert_close(alone[0], together[index])


@pytest.mark.parametrize("which", CHANGING)
def test_mixed_precision_changes_no_pass(which: Pass) -> None:
    images = noise(3)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = shown(which, images, keys(0, 1, 2))
    assert torch.equal(found, shown(which, images, keys(0, 1, 2))[0])


@settings(max_examples=20)
@given(st.integers(1, 3), st.sampled_from([(32, 32), (33, 70), (96, 64)]), st.integers(0, 2**40))
def test_whatever_the_size_a_pass_has_it_too_and_stays_in_range(
    count: int, size: tuple[int, int], index: int
) -> None:
    images = noise(count, size, seed=index)
    images = torch.nn.functional.interpolate(images.float(), size).to(torch.uint8)
    for which in CHANGING:
        found, changed = shown(which, images, keys(*range(index, index + count)))
        assert found.shape == images.shape
        assert found.dtype == torch.float32
        assert found.min() >= 0
        assert found.max() <= 255.001
        assert changed is None or changed.shape == (count, *size)


# --- the second view -------------------------------------------------------------------------


@settings(max_examples=50)
@given(st.lists(st.floats(0, 0.999), min_size=5, max_size=5))
def test_a_crop_is_a_part_of_the_image_of_moderate_size_and_aspect(draws: list[float]) -> None:
    height, width = 40, 80
    x = (torch.arange(width) + 0.5).expand(height, -1) / width
    y = (torch.arange(height)[:, None] + 0.5).expand(-1, width) / height
    parts = [torch.full((1, 1, 1), draw) for draw in draws]
    found = cropped(torch.stack((x, y))[None], parts, mirrored=True)[0]
    spans = found.amax((1, 2)) - found.amin((1, 2))
    shares = spans / torch.tensor([1 - 1 / width, 1 - 1 / height])
    assert found.min() >= 0
    assert found.max() <= 1
    assert AREA[0] * 0.9 < float(shares.prod()) <= 1.001
    assert ASPECT[0] * 0.9 < float(shares[0] / shares[1]) < ASPECT[1] * 1.1


@pytest.mark.parametrize("mirror", [False, True])
def test_second_views_are_mirrored_where_the_job_mirrors_and_nowhere_else(mirror: bool) -> None:
    ramp = torch.arange(32).mul(8).to(torch.uint8).expand(40, 3, 32, 32)
    found, _ = shown(Pass.SECOND_VIEW, ramp, replace(keys(*range(40)), mirror=mirror))
    turned = (found[:, 0, :, 0] > found[:, 0, :, -1]).all(1)
    assert bool(turned.any()) is mirror
    assert not turned.all()


def test_second_views_differ_in_colour_and_half_of_them_are_grey() -> None:
    count = 60
    image = torch.tensor([200, 100, 50], dtype=torch.uint8).view(1, 3, 1, 1)
    found, _ = shown(Pass.SECOND_VIEW, image.expand(count, -1, 32, 32), keys(*range(count)))
    colours = found.flatten(2)
    assert (colours.amax(2) - colours.amin(2)).max() < 1e-3  # a crop of one colour has one
    spread = colours[:, :, 0].amax(1) - colours[:, :, 0].amin(1)
    assert 0.35 < (spread < 1).float().mean() < 0.65
    assert len(set(colours[:, 0, 0].round().tolist())) > count / 2


# --- masks -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "side"),
    [((640, 512), 32), ((128, 128), 32), ((96, 512), 16),
     ((64, 64), 16), ((32, 32), 8)],
)  # fmt: skip
def test_patches_are_smaller_where_few_would_fit(size: tuple[int, int], side: int) -> None:
    assert patch_side(*size) == side <= PATCH


def test_a_mask_hides_six_patches_of_ten_and_leaves_the_rest() -> None:
    images = noise(3, (160, 160)).float()
    found, hidden = shown(Pass.MASKED, images, keys(0, 1, 2))
    assert hidden is not None
    assert hidden.float().mean((1, 2)).tolist() == pytest.approx([0.6] * 3)
    blocks = hidden.view(3, 5, 32, 5, 32).float().mean((2, 4))
    assert set(blocks.flatten().tolist()) == {0.0, 1.0}
    seen = ~hidden[:, None].expand_as(images)
    assert torch.equal(found[seen], images[seen])
    blank = found.permute(0, 2, 3, 1)[hidden]
    assert (blank == blank[0]).all()


# --- blends ----------------------------------------------------------------------------------


def test_what_is_blended_in_is_marked_where_it_shows_and_nowhere_else() -> None:
    images = noise(40, (64, 64)).float()
    found, changed = shown(Pass.BLENDED, images, keys(*range(40)))
    assert changed is not None
    difference = (found - images).abs().amax(1)
    assert difference[changed].mean() > 2 * CLEAR
    # A pixel's mark is of the three by three around it.
    assert difference[~changed].max() < 9 * CLEAR
    assert difference[~changed].mean() < 1
    touched = changed.flatten(1).any(1).float().mean()
    assert 0.5 < touched < 0.95  # some images stay as they are


def test_blending_like_with_like_changes_nothing_but_where_a_patch_has_a_colour_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = torch.full((8, 3, 32, 32), 77, dtype=torch.uint8)
    found, changed = shown(Pass.BLENDED, image, keys(*range(8)))
    assert changed is not None
    assert changed.flatten(1).any(1).float().mean() < 1
    assert changed.any()
    blending = importlib.import_module("sihl_trainer.tasks.passes.blended")
    monkeypatch.setattr(blending, "FLAT_SHARE", 0.0)
    found, changed = shown(Pass.BLENDED, image, keys(*range(8)))
    assert changed is not None
    assert not changed.any()
    torch.testing.assert_close(found, image.float())


def test_an_image_alone_is_blended_with_itself() -> None:
    found = [shown(Pass.BLENDED, noise(1, (64, 64)), keys(index))[1] for index in range(20)]
    assert any(changed is not None and changed.any() for changed in found)


# --- what they cost the network --------------------------------------------------------------


def network(*tasks: Task) -> VisionModel:
    torch.manual_seed(0)
    heads = [
        HeadConfig(name=f"head{number}", task=task.value, levels=[2, 3], settings={})
        for number, task in enumerate(tasks)
    ]
    return VisionModel(
        ModelConfig(backbone="resnet18", neck=None, heads=heads, input_width=64, input_height=64)
    )


def statistics(model: VisionModel) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.named_buffers() if "running" in name}


def learnt(model: VisionModel, images: Tensor, counted: Any = None) -> dict[str, Tensor]:
    """Statistics after a step's forward and backward passes of all heads."""
    heads = [model.head(config.name) for config in model.config.heads]
    wanted = frozenset[Pass]().union(*(head.passes for head in heads))
    views = model.views(images, wanted, keys(*range(len(images))))
    targets = [object()] * len(images)
    losses = [loss.mean for head in heads for loss in head.loss(views, targets).values()]  # type: ignore[arg-type]
    torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
    return statistics(model)


@pytest.mark.parametrize(
    "tasks",
    [
        (Task.AUTOENCODING,),
        (Task.VIEW_INVARIANCE,),
        (Task.ANOMALY_DETECTION, Task.AUTOENCODING, Task.VIEW_INVARIANCE),
    ],
    ids=len,
)
def test_running_statistics_are_those_of_the_plain_pass_whatever_heads_want(
    tasks: tuple[Task, ...],
) -> None:
    images = noise(4, (64, 64))
    plain = network(*tasks)
    before = statistics(plain)
    plain(images)
    assert not same(statistics(plain), before)
    model = network(*tasks)
    assert same(learnt(model, images), statistics(plain))


def test_a_pass_that_two_heads_want_runs_once() -> None:
    model = network(Task.VIEW_INVARIANCE, Task.VIEW_INVARIANCE, Task.AUTOENCODING)
    runs = []
    model.backbone.register_forward_hook(lambda *_: runs.append(1))
    learnt(model, noise(2, (64, 64)))
    assert len(runs) == 3  # plain, second view, masked


def test_without_a_head_that_wants_it_the_plain_pass_costs_no_gradient() -> None:
    model = network(Task.ANOMALY_DETECTION)
    views = model.views(noise(2, (64, 64)), model.head("head0").passes, keys(0, 1))
    assert not views[Pass.PLAIN].features[3].requires_grad
    assert views[Pass.BLENDED].features[3].requires_grad


def test_what_hides_most_of_an_image_is_validated_by_statistics_of_its_own() -> None:
    model, images = network(Task.AUTOENCODING), noise(4, (64, 64))
    wanted = model.head("head0").passes
    with torch.no_grad():
        for _ in range(100):
            learnt = model.views(images, wanted, keys(0, 1, 2, 3))
        model.eval()
        found = model.views(images, wanted, keys(0, 1, 2, 3))
    for each in wanted:
        torch.testing.assert_close(
            found[each].features[3], learnt[each].features[3], atol=0.05, rtol=0.1
        )


def test_a_model_of_old_validates_hidden_images_as_it_did_by_plain_statistics() -> None:
    model, images = network(Task.AUTOENCODING), noise(4, (64, 64))
    learnt(model, images)
    state = model.state_dict()
    own = {name: state.pop(name) for name in list(state) if name.startswith("statistics.")}
    assert len(own) == 2
    model.load_state_dict(state)
    model.eval()
    with torch.inference_mode():
        views = model.views(images, {Pass.MASKED}, keys(0, 1, 2, 3))
        plainly = model(views[Pass.MASKED].images)
    for level, values in views[Pass.MASKED].features.items():
        assert torch.equal(values, plainly[level])
