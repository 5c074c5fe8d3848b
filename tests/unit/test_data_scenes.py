"""The datasets of `examples/digits.py` for every further task, read with nothing but PIL and YAML.

Each is held against the documented format, and its annotations against what is in the images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image, ImageSequence

from examples.digits import KINDS, Options, handwritten, make
from examples.scenes.glyphs import BAND, drawn, glyph

pytestmark = pytest.mark.slow  # for scikit-learn's import

WITHOUT_METADATA = {"unlabelled", "anomaly"}
BACKGROUND = (90, 90, 90)
NEAR = 1.5  # pixels: a mask's edge is where its pixels are, a turned box's where its corners say


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def entries(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = read(folder / read(folder / "metadata.yaml")["annotations"])
    return found


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def pages(path: Path) -> list[np.ndarray]:
    with Image.open(path) as file:
        return [np.array(page) for page in ImageSequence.Iterator(file)]


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def color_mask(map_: np.ndarray, color: Sequence[int]) -> np.ndarray:
    return np.asarray((map_ == np.array(color, np.uint8)).all(axis=-1))


def box_of(mask: np.ndarray) -> list[int]:
    rows, columns = np.nonzero(mask)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def cropped(mask: np.ndarray) -> np.ndarray:
    left, top, right, bottom = box_of(mask)
    return mask[top:bottom, left:right]


def signed_area(quad: np.ndarray) -> float:
    """Of a polygon [N, 2]: more than 0 where its corners run clockwise on the screen."""
    following = np.roll(quad, -1, axis=0)
    return float((quad[:, 0] * following[:, 1] - quad[:, 1] * following[:, 0]).sum() / 2)


def outside_by(quad: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How many pixels each point [N, 2] is beyond the nearest side, 0 or less inside."""
    quad = quad if signed_area(quad) > 0 else quad[::-1]
    sides = np.roll(quad, -1, axis=0) - quad
    outward = np.stack([sides[:, 1], -sides[:, 0]], axis=1)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    return np.asarray(((points[:, None] - quad) * outward).sum(axis=2).max(axis=1))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_has_images_metadata_and_an_annotation_each(tmp_path: Path, kind: str) -> None:
    folder = make(kind, tmp_path / "one", count=5, seed=3, held_out=4)
    for split, total in (("train", 5), ("validation", 4)):
        names = sorted(path.name for path in (folder / split / "images").iterdir())
        assert len(names) == total
        if kind in WITHOUT_METADATA:
            assert [path.name for path in (folder / split).iterdir()] == ["images"]
            continue
        metadata = read(folder / split / "metadata.yaml")
        for each in metadata.get("tasks", {"": metadata}).values():
            place = folder / split / each["annotations"]
            if place.is_dir():
                assert sorted(path.stem for path in place.iterdir()) == [
                    name[:-4] for name in names
                ]
            else:
                assert sorted(read(place)) == names
    assert digests(folder) == digests(make(kind, tmp_path / "two", 5, seed=3, held_out=4))
    assert digests(folder) != digests(make(kind, tmp_path / "three", 5, seed=4, held_out=4))


def test_a_positive_angle_turns_a_digit_clockwise_with_its_box() -> None:
    upright = glyph(handwritten(0)["train"], 7, 20)
    x, y = upright.center
    # Whole pixels fall on whole pixels: the middle may lie between two.
    places = {0: np.array([x, y]) + 10, 90: np.array([20 + -y % 1, 20 + x % 1])}
    straight, turned = (
        drawn(upright, angle, place, np.ones(3), (40, 40)) for angle, place in places.items()
    )
    assert np.array_equal(np.rot90(cropped(straight.mask), -1), cropped(turned.mask))
    offset = straight.quad - places[0]
    assert np.allclose(turned.quad - places[90], np.stack([-offset[:, 1], offset[:, 0]], axis=1))


def test_keypoints_are_the_ends_of_what_is_seen_however_it_is_turned() -> None:
    upright = glyph(handwritten(0)["train"], 7, 20)
    for angle in range(-45, 46, 15):
        digit = drawn(upright, angle, (20, 20), np.ones(3), (40, 40))
        top, right, bottom, left = digit.keypoints
        low, high = np.array(box_of(digit.mask)).reshape(2, 2)
        slack = BAND * (high - low) + 1.5
        assert (top[1] - low[1] <= slack[1]) and (high[1] - bottom[1] <= slack[1])
        assert (left[0] - low[0] <= slack[0]) and (high[0] - right[0] <= slack[0])


def test_boxes_quads_keypoints_and_labels_agree_with_the_masks_of_their_scene(
    tmp_path: Path,
) -> None:
    folder = make("everything", tmp_path, count=40, held_out=1) / "train"
    colors = read(folder / "metadata.yaml")["tasks"]["panoptic"]["colors"]
    sets = {name: read(folder / f"{name}.yaml") for name in ("boxes", "quads", "keypoints")}
    labels, counts = read(folder / "labels.yaml"), read(folder / "count.yaml")
    numbers = ("none", "one", "two", "three", "four", "five")
    hidden = 0
    for name in labels:
        categories, ids = pages(folder / "panoptic" / f"{name[:-4]}.tiff")
        objects = list(zip(*(sets[each][name] for each in sets), strict=True))
        assert counts[name] == numbers[len(objects)]
        assert len(np.unique(ids)) == len(objects) + 1  # the ground is one segment
        assert set(labels[name]) == {box["category"] for box, _, _ in objects}
        for box, quad, points in objects:
            assert box["category"] == quad["category"]
            ours = color_mask(categories, colors[box["category"]])
            segments = [ours & (ids == each) for each in np.unique(ids[ours])]
            [mask] = [each for each in segments if box_of(each) == box["bbox"]]
            corners = np.array(quad["quad"])
            assert corners.min() >= 0
            assert corners.max() <= 96
            assert outside_by(corners, np.argwhere(mask)[:, ::-1] + 0.5).max() < NEAR
            seen = np.array([point for point in points.values() if point])
            hidden += len(points) - len(seen)
            assert outside_by(corners, seen).max() < NEAR
    assert hidden


def test_quads_begin_at_any_corner_and_run_either_way(tmp_path: Path) -> None:
    folder = make("quadrilaterals", tmp_path, count=30, held_out=1) / "train"
    quads = [np.array(each["quad"]) for entry in entries(folder).values() for each in entry]
    assert {signed_area(quad) > 0 for quad in quads} == {True, False}
    first = {tuple((quad[0] > quad.mean(axis=0)).tolist()) for quad in quads}
    assert len(first) == 4


def test_keypoints_are_within_the_image_or_null(tmp_path: Path) -> None:
    folder = make("keypoints", tmp_path, count=60, held_out=1) / "train"
    points = [
        point for entry in entries(folder).values() for each in entry for point in each.values()
    ]
    shown = np.array([point for point in points if point])
    assert 0 < len(points) - len(shown) < len(points) / 4
    assert (shown >= 0).all()
    assert (shown < 96).all()


def test_semantic_instance_and_panoptic_maps_of_a_seed_show_the_same_scenes(
    tmp_path: Path,
) -> None:
    kinds = ("semantic", "instance", "panoptic")
    parts = {kind: make(kind, tmp_path / kind, count=60, held_out=1) / "train" for kind in kinds}
    depths, empty = set(), 0
    for image in sorted((parts["semantic"] / "images").iterdir()):
        for kind in kinds:
            assert (parts[kind] / "images" / image.name).read_bytes() == image.read_bytes()
        categories, ids = pages(parts["panoptic"] / "panoptic" / f"{image.stem}.tiff")
        depths.add(ids.dtype.itemsize)
        semantic = pixels(parts["semantic"] / "semantic" / f"{image.stem}.png")
        assert np.array_equal(categories, semantic)
        segments = {ids[color_mask(categories, BACKGROUND)][0]}
        masks = pages(parts["instance"] / "instance" / f"{image.stem}.tiff")
        if not masks[0].any():
            empty += 1
            masks.clear()
        for page in masks:
            inside = page.any(axis=2)
            assert np.array_equal(page[inside], semantic[inside])
            [segment] = np.unique(ids[inside])
            assert np.array_equal(inside, ids == segment)
            segments.add(segment)
        assert segments == set(np.unique(ids))
    assert depths == {1, 2}  # bytes
    assert empty


def test_smaller_maps_show_what_the_full_ones_do(tmp_path: Path) -> None:
    for kind, suffix in (("semantic", "png"), ("panoptic", "tiff"), ("depth", "png")):
        full = make(kind, tmp_path / "full" / kind, count=2, held_out=1)
        small = make(kind, tmp_path / kind, count=2, held_out=1, options=Options(shrink=3))
        path = f"train/{kind}/00001.{suffix}"
        for one, other in zip(pages(full / path), pages(small / path), strict=True):
            assert np.array_equal(one[1::3, 1::3], other)
    with pytest.raises(ValueError, match="96 pixels cannot be divided by 5"):
        make("semantic", tmp_path, count=1, held_out=1, options=Options(shrink=5))


def test_panoptic_pages_that_are_channels_first_read_the_same(tmp_path: Path) -> None:
    usual = make("panoptic", tmp_path / "usual", count=6, held_out=1)
    options = Options(channels_first=True)
    planar = make("panoptic", tmp_path / "planar", count=6, held_out=1, options=options)
    for path in sorted((usual / "train" / "panoptic").iterdir()):
        other = planar / "train" / "panoptic" / path.name
        assert Image.open(other).tag_v2[284] == 2  # type: ignore[attr-defined] # planes
        for one, two in zip(pages(path), pages(other), strict=True):
            assert one.dtype == two.dtype
            assert np.array_equal(one, two)


def test_a_rim_is_ignored_around_the_digits_only(tmp_path: Path) -> None:
    full = make("semantic", tmp_path / "full", count=3, held_out=1) / "train" / "semantic"
    options = Options(rim=1)
    make("semantic", tmp_path / "rim", count=3, held_out=1, options=options)
    for path in full.iterdir():
        before, after = pixels(path), pixels(tmp_path / "rim" / "train" / "semantic" / path.name)
        ignored = ~after.any(axis=2)
        assert ignored.any()
        assert color_mask(before, BACKGROUND)[ignored].all()
        assert np.array_equal(before[~ignored], after[~ignored])


def test_identities_of_validation_are_never_in_training(tmp_path: Path) -> None:
    folder = make("metric-learning", tmp_path, count=40, held_out=20)
    listed = {}
    for split in ("train", "validation"):
        listed[split] = set(read(folder / split / "metadata.yaml")["identities"])
        assert set(entries(folder / split).values()) == listed[split]
    assert not listed["train"] & listed["validation"]


def test_partly_annotated_images_are_those_of_regression(tmp_path: Path) -> None:
    whole = make("regression", tmp_path / "whole", count=40, held_out=4)
    options = Options(labelled=0.1)
    part = make("partly", tmp_path / "part", count=40, held_out=4, options=options)
    assert digests(whole / "train" / "images") == digests(part / "train" / "images")
    assert digests(whole / "validation") == digests(part / "validation")
    full, told = entries(whole / "train"), entries(part / "train")
    labelled = {name: angle for name, angle in told.items() if angle is not None}
    assert len(labelled) == 4
    assert labelled.items() <= full.items()
    assert all(-60 <= angle <= 60 for angle in full.values())


def test_labels_are_empty_where_a_scene_is(tmp_path: Path) -> None:
    lists = entries(make("multilabel", tmp_path, count=60, held_out=1) / "train")
    assert [] in lists.values()
    assert {label for entry in lists.values() for label in entry} == set(
        read(tmp_path / "train" / "metadata.yaml")["labels"]
    )


def test_depths_lie_in_their_range_or_are_unknown(tmp_path: Path) -> None:
    folder = make("depth", tmp_path, count=12, held_out=1) / "train"
    near, far = read(folder / "metadata.yaml")["range"]
    for path in (folder / "depth").iterdir():
        assert Image.open(path).mode == "I;16"
        depth = pixels(path)
        known = depth[depth > 0]
        assert near <= known.min() < known.max() <= far
        # What is nearer is brighter, in the mean: fog hides the far.
        bright = pixels(folder / "images" / f"{path.stem}.jpg").max(axis=2)
        digits, wall = bright[(depth > 0) & (depth < 3000)], bright[depth > 3000]
        assert digits.mean() > wall.mean() + 20


def test_lines_of_text_are_of_the_tokens_and_blank_where_the_string_is_empty(
    tmp_path: Path,
) -> None:
    folder = make("text", tmp_path, count=80, held_out=1) / "train"
    tokens = read(folder / "metadata.yaml")["tokens"]
    strings = entries(folder)
    assert {len(text) for text in strings.values()} == set(range(7))
    for name, text in strings.items():
        assert set(text) <= set(tokens)
        image = pixels(folder / "images" / name)
        assert image.shape == (32, 128, 3)
        columns = (image.max(axis=2) > 160).any(axis=0)
        assert columns.any() == bool(text)


def test_anomalies_are_odd_within_their_masks_only(tmp_path: Path) -> None:
    folder = make("anomaly", tmp_path, count=1, held_out=12)
    kinds = read(folder / "anomalies" / "kinds.yaml")
    assert set(kinds.values()) == {"cut", "blob", "texture", "scratch"}
    for name in kinds:
        normal = pixels(folder / "validation" / "images" / name).astype(int)
        odd = pixels(folder / "anomalies" / "images" / name).astype(int)
        mask = pixels(folder / "anomalies" / "masks" / f"{name[:-4]}.png")
        assert set(np.unique(mask)) == {0, 255}
        changed = np.abs(odd - normal).max(axis=2)
        assert changed[mask > 0].mean() > 24
        assert changed[mask == 0].mean() < 3  # JPEG's traces
