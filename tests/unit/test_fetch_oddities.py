"""What is legal in a dataset and odd."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from sihl_api.fingerprint import SplitFingerprint
from sihl_trainer.dataset.holdout import hold_out
from sihl_trainer.errors import BadData
from sihl_trainer.fetch.check import check_whole, open_to_check
from sihl_trainer.fetch.fingerprint import marks_on_disk
from sihl_trainer.fetch.oddities import in_counts
from sihl_trainer.fetch.progress import FetchProgress
from tests.support.datasets import (
    BOX_HEAD,
    CLASS_HEAD,
    classification,
    detection,
    encoded,
    job,
    jpeg,
    write,
)


def warnings(root: Path, *heads: dict[str, Any], validation: bool = False) -> list[str]:
    """Of the dataset in a folder; with a validation set, of that."""
    spec = job(*heads, validation_prefix="v" if validation else None)
    train: SplitFingerprint | None = None
    found: list[str] = []
    for split in ("train", "validation")[: 1 + validation]:
        opened = open_to_check(spec, split, root)
        train, found = check_whole(
            spec, split, opened, FetchProgress(split), train, partial(marks_on_disk, opened)
        )
    return found


@pytest.mark.parametrize(
    ("learnt", "measured", "says"),
    [
        ({"cat": 3, "dog": 2}, {"cat": 1, "dog": 1}, []),
        ({"cat": 3, "dog": 2}, None, []),
        ({"cat": 0, "dog": 0}, {"cat": 1, "dog": 0}, ["no training image has a single object"]),
        ({"cat": 3, "dog": 0}, None, ["'dog': listed, but no training image has one"]),
        ({"cat": 3, "dog": 2}, {"cat": 0, "dog": 0}, ["no validation image has a single object"]),
        ({"cat": 3, "dog": 0}, {"cat": 1, "dog": 1}, ["'dog': in validation images only"]),
        ({"cat": 3}, {"cat": 1, "emu": 1}, ["'emu': in validation images only"]),
        ({"cat": 3, "dog": 0}, {"cat": 1, "dog": 0}, ["'dog': listed, but no image has one"]),
        ({"cat": 3, "dog": 2}, {"cat": 1, "dog": 0}, ["'dog': in no validation image: how well"]),
    ],
)
def test_categories_that_cannot_be_learnt_or_measured_are_told(
    learnt: dict[str, int], measured: dict[str, int] | None, says: list[str]
) -> None:
    found = in_counts("boxes", learnt, measured)
    assert len(found) == len(says)
    assert all(part in text for part, text in zip(says, found, strict=True))
    assert all(text.startswith("annotations 'boxes': ") for text in found)


def test_a_dataset_as_it_should_be_is_told_nothing_of(tmp_path: Path) -> None:
    write(tmp_path / "train", classification(8))
    write(tmp_path / "validation", {
        **classification(4), **{f"images/{n}.jpg": jpeg(seed=9 + n) for n in range(4)}
    })  # fmt: skip
    assert warnings(tmp_path, CLASS_HEAD, validation=True) == []


def test_a_training_set_without_one_object_is_told(tmp_path: Path) -> None:
    empty = b"".join(b"%d.jpg: []\n" % number for number in range(6))
    write(tmp_path / "train", detection(6) | {"annotations.yaml": empty})
    (told,) = warnings(tmp_path, BOX_HEAD)
    assert "no training image has a single object" in told


def test_a_category_that_only_held_out_images_have_is_told(tmp_path: Path) -> None:
    files = classification(6)
    write(tmp_path / "train", files)
    spec = job()
    opened = open_to_check(spec, "train", tmp_path)
    _, (held_out,) = hold_out(opened, spec.dataset.validation_fraction, spec.training.seed)
    lines = [f"{n}.jpg: {'dog' if f'{n}.jpg' == held_out else 'cat'}\n" for n in range(6)]
    write(tmp_path / "train", {"annotations.yaml": "".join(lines)})
    assert any("'dog': in validation images only" in each for each in warnings(tmp_path))


def test_a_training_set_that_is_the_validation_set_is_told(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        write(tmp_path / split, classification(6))
    (told,) = warnings(tmp_path, CLASS_HEAD, validation=True)
    assert told.startswith("the validation images are the training images")


def test_images_that_both_sets_have_are_told(tmp_path: Path) -> None:
    write(tmp_path / "train", classification(6))
    write(tmp_path / "validation", classification(4))
    (told,) = warnings(tmp_path, CLASS_HEAD, validation=True)
    assert told.startswith("images/0.jpg and at least 3 more are in the training set and in")


def test_images_that_both_sets_have_under_other_names_are_told(tmp_path: Path) -> None:
    files = classification(6)
    write(tmp_path / "train", files)
    other = {name.replace("/", "/v"): body for name, body in files.items()}
    lines = files["annotations.yaml"].splitlines(keepends=True)
    other["annotations.yaml"] = b"".join(b"v" + line for line in lines)
    write(tmp_path / "validation", other)
    (told,) = warnings(tmp_path, CLASS_HEAD, validation=True)
    assert told.startswith("images/v0.jpg and at least 5 more are in the training set and in")


@pytest.mark.parametrize(
    ("first", "says"),
    [
        ("[0.1, 0.1, 0.6, 0.7]", "1 of 6 objects are less than a pixel wide or high, as shares"),
        ("[1, 2, 5, 2.5]", "1 of 6 objects are less than a pixel wide or high"),
        ("[1, 2, 5, 9]}, {category: cat, bbox: [1, 2, 5, 9]", "1 of 7 objects are annotated twice"),
    ],
)
def test_objects_that_nobody_can_mean_are_told_with_the_first_ones_image(
    tmp_path: Path, first: str, says: str
) -> None:
    files = detection(6)
    lines = files["annotations.yaml"].decode().splitlines()
    lines[0] = f"0.jpg: [{{category: cat, bbox: {first}}}]"
    write(tmp_path / "train", files | {"annotations.yaml": "\n".join(lines)})
    (told,) = [each for each in warnings(tmp_path, BOX_HEAD) if "objects" in each]
    assert told.startswith(f"annotations 'annotations': {says}")
    assert told.endswith("the first in '0.jpg'")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (
            '"caf\\u00e9", "cafe\\u0301"',
            "'caf\u00e9' (U+00E9) and 'cafe\u0301' (U+0301) look the same",
        ),
        (
            '"a", "a\\u200b"',
            "'a' and 'a\\u200b' (U+200B) look the same, and are two names: keep one",
        ),
        (
            '" ", "\\u00a0", "a ", a',
            "' ' and '\\xa0' (U+00A0) (and 1 more such pairs) look the same",
        ),
        ("a, A, ab, a b, '-', '_'", ""),
    ],
)
def test_names_that_differ_and_look_the_same_are_told(
    tmp_path: Path, names: str, says: str
) -> None:
    first = yaml.safe_load(f"[{names}]")[0]
    lines = "".join(f"{number}.jpg: {json.dumps(first)}\n" for number in range(6))
    metadata = f"task: metric learning\nidentities: [{names}]\nannotations: annotations.yaml\n"
    files = {"metadata.yaml": metadata.encode(), "annotations.yaml": lines.encode()}
    write(tmp_path / "train", classification(6) | files)
    told = warnings(tmp_path, {"name": "all", "task": "MetricLearning"})
    found = [each for each in told if "look the same" in each]
    assert len(found) == bool(says)
    assert all(each.startswith(f"annotations 'annotations': {says}") for each in found)


@pytest.mark.parametrize(
    ("task", "fields", "value", "says"),
    [
        ("MulticlassClassification", "categories: [a, b]", "a", "all 6 images have the same name"),
        ("MetricLearning", "identities: [a, b]", "b", "all 6 images have the same name"),
        ("Regression", "range: [0, 9]", "5", "all 6 values are 5: nothing to learn"),
    ],
)
def test_annotations_that_are_all_alike_are_told_as_nothing_to_learn(
    tmp_path: Path, task: str, fields: str, value: str, says: str
) -> None:
    metadata = f"task: {task}\n{fields}\nannotations: annotations.yaml\n"
    lines = "".join(f"{number}.jpg: {value}\n" for number in range(6))
    files = {"metadata.yaml": metadata.encode(), "annotations.yaml": lines.encode()}
    write(tmp_path / "train", classification(6) | files)
    assert any(says in each for each in warnings(tmp_path, {"name": "all", "task": task}))


def test_depth_maps_without_a_pixel_that_is_known_are_told(tmp_path: Path) -> None:
    files = {name: body for name, body in classification(6).items() if "images/" in name}
    metadata = b"task: depth estimation\nrange: [1, 9]\nannotations: maps\n"
    unknown = encoded(Image.new("L", (24, 16)), "PNG")
    maps = {f"maps/{number}.png": unknown for number in range(6)}
    write(tmp_path / "train", files | maps | {"metadata.yaml": metadata})
    found = warnings(tmp_path, {"name": "depth", "task": "DepthEstimation"})
    assert any("no map has a pixel that is known" in each for each in found)


def test_keypoints_in_the_corner_are_told_as_those_that_nobody_has_seen(tmp_path: Path) -> None:
    metadata = (
        "task: keypoint detection\nkeypoints: [a, b]\nsymmetry: []\nannotations: annotations.yaml\n"
    )
    lines = b"".join(b"%d.jpg: [{a: [0, 0], b: [3, %d]}]\n" % (n, n + 2) for n in range(6))
    write(
        tmp_path / "train",
        classification(6) | {"metadata.yaml": metadata.encode(), "annotations.yaml": lines},
    )
    found = warnings(tmp_path, {"name": "eyes", "task": "KeypointDetection"})
    assert any("6 of 12 keypoints lie at [0, 0], as COCO's do" in each for each in found)


def test_what_is_not_shown_as_it_is_stored_is_told_once_with_how_many(tmp_path: Path) -> None:
    see_through = encoded(Image.new("RGBA", (8, 8)), "PNG")
    files = classification(6) | {"images/a.png": see_through, "images/b.png": see_through}
    files["annotations.yaml"] += b"a.png: cat\nb.png: dog\n"
    write(tmp_path / "train", files)
    found = warnings(tmp_path, CLASS_HEAD)
    assert "images/a.png and 1 more: transparent in part: shown on white, as viewers do" in found


def test_files_beside_images_that_are_not_read_are_told(tmp_path: Path) -> None:
    names = ("b.bmp", "a.webp", "notes.txt", ".DS_Store", "._a.webp")
    files = classification(6) | {f"images/{name}": b"" for name in names}
    write(tmp_path / "train", files)
    assert warnings(tmp_path, {"name": "v", "task": "ViewInvariance"}) == [
        "images/: 'a.webp' (and 1 more) is a WebP image, which is not read: convert it to "
        "JPEG, PNG or TIFF"
    ]


@pytest.mark.parametrize("entry", [b"", b"broken.jpg: null\n"])
def test_an_image_that_is_not_annotated_is_not_read_broken_or_not(
    tmp_path: Path, entry: bytes
) -> None:
    files = classification(6) | {"images/broken.jpg": b"no image"}
    files["annotations.yaml"] += entry
    write(tmp_path / "train", files)
    warnings(tmp_path, CLASS_HEAD)
    with pytest.raises(BadData, match=r"broken\.jpg"):  # a self-supervised head learns from all
        warnings(tmp_path, CLASS_HEAD, {"name": "v", "task": "ViewInvariance"})
