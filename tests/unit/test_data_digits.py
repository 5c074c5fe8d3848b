"""The datasets of `examples/digits.py`, read as any other dataset is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from examples.digits import handwritten, make, upload
from sihl_trainer.data.images import decode_fully
from sihl_trainer.dataset.dataset import open_datasets
from sihl_trainer.dataset.feeds import open_split
from sihl_trainer.fetch.main import fetch_split
from sihl_trainer.tasks.object_detection.target import BoxesTarget
from tests.support.datasets import BOX_HEAD, CLASS_HEAD, job
from tests.support.s3 import S3Server

pytestmark = pytest.mark.slow  # for scikit-learn's import

HEADS = {
    "classification": [CLASS_HEAD],
    "detection": [BOX_HEAD],
    "multitask": [BOX_HEAD | {"annotations": "boxes"}, CLASS_HEAD | {"annotations": "count"}],
}


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.mark.parametrize("kind", HEADS)
def test_a_made_dataset_is_a_dataset_and_the_same_each_time(tmp_path: Path, kind: str) -> None:
    one = make(kind, tmp_path / "one", count=12, seed=5, held_out=4)
    assert digest(one) == digest(make(kind, tmp_path / "two", count=12, seed=5, held_out=4))
    assert digest(one) != digest(make(kind, tmp_path / "three", count=12, seed=6, held_out=4))
    datasets = open_datasets(job(*HEADS[kind], validation_prefix="x"), one)
    assert (len(datasets.train), len(datasets.validation)) == (12, 4)


def test_no_digit_of_validation_is_in_training() -> None:
    splits = handwritten(0)
    assert sum(len(split.images) for split in splits.values()) == 1797
    # 1,797 pictures, of which no two are alike in different splits.
    train, validation = (
        {image.tobytes() for image in splits[name].images} for name in ("train", "validation")
    )
    assert not train & validation


def test_boxes_lie_within_their_scene_and_do_not_touch(tmp_path: Path) -> None:
    folder = make("detection", tmp_path, count=40, held_out=1) / "train"
    split = open_split(folder, job(BOX_HEAD).model.heads)
    counts = set()
    for name in split.names:
        assert (
            split.sets["annotations"].fault(name, *decode_fully(folder / "images" / name).size)
            is None
        )
        target = split.feeds["boxes"].target(name, (96, 96))
        assert isinstance(target, BoxesTarget)
        counts.add(len(target.boxes))
        taken = np.zeros((96, 96), int)
        for xmin, ymin, xmax, ymax in target.boxes.int().tolist():
            taken[ymin:ymax, xmin:xmax] += 1
        assert taken.max() == 1
    assert counts == {1, 2, 3, 4, 5}


def test_a_made_dataset_goes_to_a_bucket_and_comes_back(s3: S3Server, tmp_path: Path) -> None:
    folder = make("multitask", tmp_path / "made", count=10, held_out=1) / "train"
    assert upload(folder, s3.endpoint, "data", "digits", *s3.admin) == 13
    spec = job(*HEADS["multitask"], endpoint=s3.endpoint, prefix="digits")
    keys = {
        "SIHL_DATASET_ACCESS_KEY_ID": s3.reader[0],
        "SIHL_DATASET_SECRET_ACCESS_KEY": s3.reader[1],
    }
    fetch_split(spec, "train", tmp_path / "fetched", keys)
    assert digest(tmp_path / "fetched" / "train") == digest(folder)
