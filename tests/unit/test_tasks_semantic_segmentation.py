"""Semantic segmentation: its format, its head and its pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from examples.digits import make
from sihl_api.model import Head as HeadSpec
from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.data.letterbox import letterboxing
from sihl_trainer.dataset.feeds import Split, check_suited, open_split
from sihl_trainer.errors import BadConfig, BadData
from sihl_trainer.tasks.maps import categories
from sihl_trainer.tasks.maps.categories import category_losses, likeliest
from sihl_trainer.tasks.picture import MapFile
from sihl_trainer.tasks.semantic_segmentation.head import SemanticSegmentation
from sihl_trainer.tasks.semantic_segmentation.metric import SemanticPrediction
from sihl_trainer.tasks.semantic_segmentation.picture import SemanticPainter
from sihl_trainer.tasks.semantic_segmentation.target import SemanticTarget
from tests.support.datasets import encoded, job, jpeg, write
from tests.support.heads import measured, plain, view
from tests.support.overfit import digits, overfitted
from tests.support.pictures import indexed, png_of_rows

HEAD = {"name": "ground", "task": "SemanticSegmentation"}
METADATA = """
task: semantic segmentation
categories: [road, tree, sky]
colors: {road: [128, 64, 128], tree: [107, 142, 35]}
annotations: maps
"""
ROAD, TREE = (128, 64, 128), (107, 142, 35)


def dataset(folder: Path, metadata: str = METADATA, **maps: Image.Image) -> Path:
    files: dict[str, bytes | str] = {"metadata.yaml": metadata}
    for name, image in maps.items():
        files |= {f"images/{name}.jpg": jpeg(), f"maps/{name}.png": encoded(image, "PNG")}
    return write(folder, files)


def opened(folder: Path, train: Split | None = None) -> Split:
    return open_split(folder, [HeadSpec.model_validate(HEAD)], train.feeds if train else None)


def head(channels: Mapping[int, int], count: int = 3) -> SemanticSegmentation:
    torch.manual_seed(0)
    config = HeadConfig(
        name="ground",
        task="SemanticSegmentation",
        levels=[min(channels), max(channels)],
        settings={"categories": [str(number) for number in range(count)], "colors": {}},
    )
    return SemanticSegmentation(config, channels)


def features(channels: Mapping[int, int], batch: int, side: int) -> dict[int, torch.Tensor]:
    torch.manual_seed(1)
    sides = {level: -(-side // 2**level) for level in channels}
    return {
        level: torch.randn(batch, count, sides[level], sides[level], requires_grad=True)
        for level, count in channels.items()
    }


# --- format ----------------------------------------------------------------------------------


def test_maps_become_indices_plus_one_and_black_is_ignored(tmp_path: Path) -> None:
    image = Image.new("RGB", (24, 16), TREE)
    image.putpixel((1, 0), ROAD)
    image.putpixel((2, 0), (0, 0, 0))
    files = {"images/b.jpg": jpeg()}
    split = opened(write(dataset(tmp_path, a=image), files))
    assert split.annotated == ["a.jpg"]
    target = split.feeds["ground"].target("a.jpg", (24, 16))
    assert isinstance(target, SemanticTarget)
    assert target.labels[0, :4].tolist() == [2, 1, 0, 2]
    assert split.feeds["ground"].target("b.jpg", (24, 16)) is None


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (Image.new("RGB", (24, 16), (1, 2, 3)), "maps/a.png has colour [1, 2, 3] at x 0, y 0"),
        (Image.new("RGB", (16, 24), ROAD), "maps/a.png is 16 pixels wide and 24 high, its image"),
        (Image.new("RGB", (12, 8), ROAD), None),
        (Image.new("RGB", (48, 32), ROAD), None),
    ],
)
def test_a_map_that_does_not_fit_is_a_fault_of_its_image(
    tmp_path: Path, image: Image.Image, says: str | None
) -> None:
    text = opened(dataset(tmp_path, a=image)).sets["maps"].fault("a.jpg", 24, 16)
    assert text is None if says is None else (text or "").startswith(says)


def test_a_hole_in_a_map_is_a_fault_and_no_pixels_to_ignore(tmp_path: Path) -> None:
    split = opened(dataset(tmp_path, a=Image.new("RGB", (24, 16), ROAD)))
    path = tmp_path / "maps" / "a.png"
    data = path.read_bytes()
    path.write_bytes(data[:45] + b"\0\0" + data[47:])
    assert "maps/a.png is damaged" in (split.sets["maps"].fault("a.jpg", 24, 16) or "")


def test_rows_and_colours_that_a_map_lacks_are_a_fault_and_not_ignored(
    tmp_path: Path,
) -> None:
    folder = dataset(tmp_path, a=Image.new("RGB", (24, 16), TREE))
    rows = (b"\0" + bytes(TREE) * 24) * 15
    (folder / "maps" / "a.png").write_bytes(png_of_rows(24, 16, rows))
    told = opened(folder).sets["maps"].fault("a.jpg", 24, 16) or ""
    assert "maps/a.png is damaged: its data ends before the picture does: save it again" in told
    (folder / "maps" / "a.png").write_bytes(indexed([TREE, ROAD], [0, 1, 2]))
    told = opened(folder).sets["maps"].fault("a.jpg", 3, 1) or ""
    assert "maps/a.png is damaged: it has a pixel of colour 2, and 2 colours: save" in told


def test_what_a_system_leaves_beside_maps_is_nobodys(tmp_path: Path) -> None:
    folder = dataset(tmp_path, a=Image.new("RGB", (24, 16), ROAD))
    write(folder, {"maps/._a.png": b"Mac OS X", "maps/.DS_Store": b""})
    assert opened(folder).annotated == ["a.jpg"]


def test_validation_has_its_own_colors_and_the_indices_of_training(tmp_path: Path) -> None:
    train = opened(dataset(tmp_path / "train", a=Image.new("RGB", (24, 16), ROAD)))
    metadata = METADATA.replace("[road, tree, sky]", "[tree, road]").replace("107, 142", "9, 9")
    folder = dataset(tmp_path / "other", metadata, a=Image.new("RGB", (24, 16), (9, 9, 35)))
    target = opened(folder, train).feeds["ground"].target("a.jpg", (24, 16))
    assert isinstance(target, SemanticTarget)
    assert set(target.labels.flatten().tolist()) == {2}


def test_a_single_category_is_nothing_to_learn(tmp_path: Path) -> None:
    metadata = METADATA.replace(", tree: [107, 142, 35]", "")
    split = opened(dataset(tmp_path, metadata, a=Image.new("RGB", (24, 16), ROAD)))
    with pytest.raises(BadConfig, match=r"only one category has a colour, .*; give what is around"):
        check_suited(split, job(HEAD))


def test_maps_without_images_are_refused_before_these_are_fetched(tmp_path: Path) -> None:
    folder = dataset(tmp_path, a=Image.new("RGB", (24, 16), ROAD))
    with pytest.raises(BadData, match=r"maps/a\.png annotates no image"):
        open_split(folder, [HeadSpec.model_validate(HEAD)], names=["b.jpg"])


# --- head ------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [{2: 16, 3: 16, 4: 16, 5: 16}, {3: 8}, {4: 64, 5: 96}])
def test_losses_are_of_the_order_of_one_on_any_levels(channels: dict[int, int]) -> None:
    learner = head(channels, 11)
    given = features(channels, 2, 64)
    targets = [SemanticTarget(torch.randint(0, 12, (64, 64), dtype=torch.uint8)) for _ in range(2)]
    losses = learner.loss(plain(given), targets)
    assert 0.5 < losses["cross_entropy"].mean.item() < 2
    assert 0.3 < losses["dice"].mean.item() <= 1
    found = learner.predict(view(given))
    assert [(each.labels.shape, each.labels.dtype) for each in found] == [
        ((64, 64), torch.uint8)
    ] * 2


@pytest.mark.parametrize("known", [False, True])
def test_without_a_pixel_to_learn_from_losses_are_zeros_on_all_weights(known: bool) -> None:
    channels = {2: 8, 3: 8}
    learner = head(channels)
    blank = SemanticTarget(torch.zeros(32, 32, dtype=torch.uint8))
    losses = learner.loss(plain(features(channels, 2, 32)), [blank if known else None, None])
    assert [loss.mean.item() for loss in losses.values()] == [0, 0]
    torch.stack([loss.total for loss in losses.values()]).sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and not p.grad.any() for p in learner.parameters())


def test_images_that_are_not_annotated_count_for_nothing() -> None:
    channels = {2: 8, 3: 8}
    learner, given = head(channels), features(channels, 3, 32)
    target = SemanticTarget(torch.randint(0, 4, (32, 32), dtype=torch.uint8))
    among = learner.loss(plain(given), [None, target, None])
    alone = learner.loss(plain({level: each[1:2] for level, each in given.items()}), [target])
    for name, loss in among.items():
        assert torch.allclose(loss.total, alone[name].total, rtol=1e-4)
        assert torch.equal(loss.amount, alone[name].amount)


@pytest.mark.parametrize("size", [(32, 32), (30, 27)])
def test_strips_say_what_the_whole_would(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    given = torch.randn(3, 8, 8, 8, requires_grad=True)
    logits = torch.nn.Conv2d(8, 5, 1)
    labels = torch.randint(0, 6, (3, *size), dtype=torch.uint8)

    def outcome() -> list[torch.Tensor]:
        losses = category_losses(given, logits, labels, 4)
        total = losses["cross_entropy"].mean + losses["dice"].mean
        (gradient,) = torch.autograd.grad(total, given)
        return [total, gradient, likeliest(given, logits, 4, size)]

    whole = outcome()
    monkeypatch.setattr(categories, "STRIP", 5 * 32 * 9)
    for one, other in zip(whole, outcome(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    true = torch.nn.functional.interpolate(logits(given), scale_factor=4, mode="bilinear")
    true = true[:, :, : size[0], : size[1]]
    entropy = torch.nn.functional.cross_entropy(true, labels.long() - 1, ignore_index=-1)
    mean = category_losses(given, logits, labels, 4)["cross_entropy"].mean
    assert torch.allclose(mean * np.log(5), entropy, rtol=1e-4)


def test_the_loss_never_holds_logits_of_all_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(categories, "STRIP", 2**14)
    count, side = 50, 64  # 200,000 logits an image
    given = torch.randn(4, 8, side // 4, side // 4, requires_grad=True)
    held: dict[int, int] = {}

    def kept(tensor: torch.Tensor) -> torch.Tensor:
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(kept, lambda tensor: tensor):
        losses = category_losses(
            given, torch.nn.Conv2d(8, count, 1), torch.ones(4, side, side, dtype=torch.uint8), 4
        )
    assert losses["dice"].amount == 4
    assert 0 < sum(held.values()) < 4 * count * side * side


def test_any_number_of_categories_can_be_predicted() -> None:
    learner = head({2: 8}, 300)
    assert learner.logits.bias is not None
    torch.nn.init.constant_(learner.logits.bias[299], 100.0)
    (found,) = learner.predict(view(features({2: 8}, 1, 16)))
    assert set(found.labels.flatten().tolist()) == {300}
    target = SemanticTarget(torch.full((16, 16), 300, dtype=torch.int16))
    assert measured(learner, [found], [target]) == {"miou": 1, "pixel_accuracy": 1}


def test_ignored_pixels_are_not_measured() -> None:
    target = SemanticTarget(torch.tensor([[0, 1], [2, 2]], dtype=torch.uint8))
    found = SemanticPrediction(torch.tensor([[3, 1], [2, 1]], dtype=torch.uint8))
    results = measured(head({2: 8}), [found], [target])
    assert results == {"miou": pytest.approx(0.5), "pixel_accuracy": pytest.approx(2 / 3)}


# --- pictures --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(24, 16), (20, 1), (1, 1), (50, 77)])
def test_what_is_written_is_read_again(tmp_path: Path, size: tuple[int, int]) -> None:
    folder = dataset(tmp_path, a=Image.new("RGB", size, ROAD))
    split = opened(folder)
    info = split.head_info["ground"]
    config = HeadConfig(
        name="ground", task="", levels=[2, 2], settings=SemanticSegmentation.settings(info)
    )
    painter, fit = SemanticPainter(config), letterboxing(size, (32, 32))
    placed = SemanticTarget(torch.ones(1, 1, dtype=torch.uint8)).placed(fit)
    labels = torch.where(placed.labels > 0, 2, 1).to(torch.uint8)
    written = painter.written(SemanticPrediction(labels), size, fit)
    assert isinstance(written, MapFile)
    assert Image.open(io.BytesIO(written.content)).size == size
    (folder / f"maps/a{written.suffix}").write_bytes(written.content)
    again = opened(folder).feeds["ground"].target("a.jpg", size)
    assert isinstance(again, SemanticTarget)
    assert set(again.labels.flatten().tolist()) == {2}
    canvas = Image.new("RGB", (32, 32))
    assert painter.prediction(canvas, SemanticPrediction(labels)).size == canvas.size
    drawn = np.asarray(painter.target(canvas, placed))
    assert drawn.reshape(-1, 3).max(0).tolist() == [color // 2 for color in ROAD]


def test_digits_are_read_in_full(tmp_path: Path) -> None:
    make("semantic", tmp_path, count=3, held_out=1, size=32)
    split = opened(tmp_path / "train")
    (annotations,) = split.sets.values()
    assert [annotations.fault(name, 32, 32) for name in split.names] == [None] * 3
    assert split.head_info["ground"].task is Task.SEMANTIC_SEGMENTATION


@pytest.mark.slow
def test_a_head_learns_eight_images_by_heart(tmp_path: Path) -> None:
    shown = digits("semantic", tmp_path, Task.SEMANTIC_SEGMENTATION, size=48)
    results = overfitted(
        shown.info, shown.images, shown.targets, steps=300, rate=1e-3, neck=(1, 3), channels=32
    )
    assert results["pixel_accuracy"] > 0.98
    assert results["miou"] > 0.9
