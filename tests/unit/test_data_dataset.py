"""Augmentation, samples, and which images train and which validate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sihl_api.training import Augmentation
from sihl_trainer.data.draws import uniform
from sihl_trainer.data.letterbox import PADDING
from sihl_trainer.dataset.augment import draw
from sihl_trainer.dataset.dataset import VisionDataset, open_datasets
from sihl_trainer.errors import BadData
from sihl_trainer.tasks.object_detection.target import BoxesTarget
from tests.support.datasets import (
    BOX_HEAD,
    BOXES,
    CLASS_HEAD,
    classification,
    detection,
    encoded,
    job,
    write,
)

SETTINGS = Augmentation(horizontal_flip=True, scale=0.5, brightness=0.5)


# --- augmentation ----------------------------------------------------------------------------


def test_the_random_stream_is_the_same_in_every_release() -> None:
    # Written down once: a checkpoint of one release is resumed by another.
    assert uniform(3, 1, 2, 3).tolist() == pytest.approx(PINNED, abs=1e-15)


@given(st.integers(0, 2**31), st.integers(0, 10**6), st.integers(0, 10**7))
def test_a_change_follows_from_seed_epoch_and_index(seed: int, epoch: int, index: int) -> None:
    change = draw(SETTINGS, seed, epoch, index)
    assert change == draw(SETTINGS, seed, epoch, index)
    assert change != draw(SETTINGS, seed, epoch + 1, index)
    assert change != draw(SETTINGS, seed, epoch, index + 1)
    assert change != draw(SETTINGS, seed + 1, epoch, index)
    assert 0.5 <= change.shrink <= 1
    assert 0.5 <= change.brightness <= 1.5
    assert all(0 <= share <= 1 for share in change.position)


def test_changes_are_spread_evenly() -> None:
    changes = [draw(SETTINGS, 0, 0, index) for index in range(2000)]
    assert np.mean([change.mirror for change in changes]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([change.shrink for change in changes]) == pytest.approx(0.75, abs=0.02)
    assert np.mean([change.brightness for change in changes]) == pytest.approx(1, abs=0.03)


def test_what_is_switched_off_does_not_happen() -> None:
    off = Augmentation(horizontal_flip=False, scale=0, brightness=0)
    for index in range(20):
        change = draw(off, 0, 0, index)
        assert (change.mirror, change.shrink, change.brightness) == (False, 1, 1)
        assert change.position == (0.5, 0.5)


# --- samples ---------------------------------------------------------------------------------


def framed(folder: Path) -> Path:
    """A dataset of one dark image with a bright rectangle, and the box around it."""
    picture = np.full((60, 90, 3), 20, np.uint8)
    picture[10:30, 15:55] = 220
    return write(
        folder,
        {
            "metadata.yaml": BOXES,
            "annotations.yaml": "a.png: [{category: dog, bbox: [15, 10, 55, 30]}]\nb.png: []\n",
            "images/a.png": encoded(Image.fromarray(picture), "PNG"),
            "images/b.png": encoded(Image.fromarray(picture), "PNG"),
        },
    )


@pytest.mark.parametrize("canvas", [(96, 64), (64, 96), (200, 200), (33, 31)])
@pytest.mark.parametrize("augmentation", [None, SETTINGS])
def test_boxes_follow_their_image_wherever_it_goes(
    tmp_path: Path, canvas: tuple[int, int], augmentation: Augmentation | None
) -> None:
    folder = framed(tmp_path / "train")
    datasets = open_datasets(job(BOX_HEAD), tmp_path)
    feeds = datasets.train.feeds
    dataset = VisionDataset(
        folder / "images", ["a.png"], feeds, canvas, augmentation=augmentation, seed=3
    )
    mirrored = set()
    for epoch in range(12):
        sample = dataset.sample(epoch, 0)
        assert sample.image.shape == (3, canvas[1], canvas[0])
        target = sample.targets["boxes"]
        assert isinstance(target, BoxesTarget)
        padding = torch.tensor(PADDING, dtype=torch.uint8)[:, None, None]
        image = torch.where((sample.image == padding).all(0), 0, sample.image[0].float())
        rows, columns = torch.nonzero(image > 0.6 * image.max(), as_tuple=True)
        seen = torch.tensor(
            [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], dtype=torch.float32
        )
        assert (target.boxes - seen).abs().max() <= 1.5
        mirrored.add(bool((target.boxes - sample.fit.placement.apply(BOX)).abs().max() > 1e-3))
        assert sample.size == (90, 60)
    assert mirrored == ({False} if augmentation is None else {True, False})


BOX = torch.tensor([[15.0, 10, 55, 30]])
PINNED = [0.3666367661554447, 0.11748216026831493, 0.5804590636146759]


def test_a_predicted_box_of_a_validation_image_is_mapped_back_to_the_file(tmp_path: Path) -> None:
    framed(tmp_path / "train")
    framed(tmp_path / "validation")
    spec = job(BOX_HEAD, validation_prefix="x", training={"augmentation": {"horizontalFlip": True}})
    sample = open_datasets(spec, tmp_path).validation.sample(0, 0)
    target = sample.targets["boxes"]
    assert isinstance(target, BoxesTarget)
    assert torch.allclose(sample.fit.placement.invert(target.boxes), BOX, atol=1e-4)


def test_validation_images_are_not_augmented_and_only_padded_where_asked(tmp_path: Path) -> None:
    write(tmp_path / "train", detection())
    write(tmp_path / "validation", detection())
    sizes = {"inputSize": {"width": 48, "height": 48}}
    scaled, padded = (
        open_datasets(
            job(BOX_HEAD, validation_prefix="x", training=sizes | {"scaleAtInference": scale}),
            tmp_path,
        ).validation
        for scale in (True, False)
    )
    assert torch.equal(scaled.sample(0, 0).image, scaled.sample(7, 0).image)
    assert scaled.sample(0, 0).fit.placement.scale_x == 2
    assert padded.sample(0, 0).fit.placement.scale_x == 1


def test_a_head_that_an_image_is_not_annotated_for_gets_none(tmp_path: Path) -> None:
    metadata = (
        "tasks:\n  a: {task: object detection, categories: [cat], annotations: a.yaml}\n"
        "  b: {task: multiclass classification, categories: [cat], annotations: b.yaml}\n"
    )
    files = detection(3) | {"metadata.yaml": metadata.encode()}
    files |= {"a.yaml": b"0.jpg: []\n", "b.yaml": b"0.jpg: cat\n1.jpg: cat\n"}
    write(tmp_path / "train", files)
    write(tmp_path / "validation", files)
    heads = [BOX_HEAD | {"annotations": "a"}, CLASS_HEAD | {"annotations": "b"}]
    datasets = open_datasets(job(*heads, validation_prefix="x"), tmp_path)
    assert datasets.train.names == ["0.jpg", "1.jpg"]  # nothing is annotated on 2.jpg
    both, one = (datasets.train.sample(0, index).targets for index in (0, 1))
    assert both["boxes"] is not None
    assert both["pet"] is not None
    assert one["boxes"] is None
    assert one["pet"] is not None


def test_an_image_that_cannot_be_decoded_is_told_by_name(tmp_path: Path) -> None:
    write(tmp_path / "train", classification() | {"images/3.jpg": b"oops"})
    dataset = open_datasets(job(), tmp_path)
    part = dataset.train if "3.jpg" in dataset.train.names else dataset.validation
    with pytest.raises(BadData, match=r"images/3\.jpg is a text"):
        part.sample(0, part.names.index("3.jpg"))
