"""Datasets on disk that feed heads of every task that their annotations can become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from examples.digits import Options, make
from sihl_api.model import Head
from sihl_api.tasks import Task, reachable, task_from_words
from sihl_trainer.dataset.dataset import open_datasets
from sihl_trainer.dataset.feeds import Split, open_split
from sihl_trainer.tasks.multilabel_classification.target import LabelsTarget
from sihl_trainer.tasks.object_detection.target import BoxesTarget
from tests.support.datasets import job
from tests.support.targets import check_valid

pytestmark = pytest.mark.slow  # for scikit-learn's import

KINDS = (
    "everything", "panoptic", "instance", "semantic", "quadrilaterals", "keypoints", "detection",
    "classification", "metric-learning",
)  # fmt: skip
SIZE = 48
MOST_HEADS = 16


def metadata(folder: Path) -> dict[str, Any]:
    """A split's sets, by name."""
    found = yaml.safe_load((folder / "metadata.yaml").read_text())
    if "tasks" in found:
        return dict(found["tasks"])
    return {Path(found["annotations"]).stem: found}


def heads(folder: Path) -> list[dict[str, str]]:
    """One of each task that a set of the dataset can feed, for each set."""
    found = []
    for name, fields in metadata(folder).items():
        own = task_from_words(fields["task"])
        for task in (own, *reachable(own)):
            title = f"{name}-{task.words.replace(' ', '-')}"
            found.append({"name": title, "task": task.value, "annotations": name})
    return found


def opened(folder: Path, *wanted: tuple[str, Task]) -> Split:
    """A split with a head called by the set for each set and task."""
    return open_split(
        folder, [Head(name=name, task=task, annotations=name) for name, task in wanted]
    )


def entries(folder: Path, name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((folder / f"{name}.yaml").read_text()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_dataset_feeds_a_head_of_every_task_that_it_can_become(tmp_path: Path, kind: str) -> None:
    root = make(kind, tmp_path, count=3, held_out=2, size=SIZE)
    every = heads(root / "train")
    assert len(every) > 3
    # Who is in validation alone is no category of training: only embeddings are for those.
    validation = None if kind == "metric-learning" else "validation"
    for start in range(0, len(every), MOST_HEADS):
        training = {"inputSize": {"width": 64, "height": 40}}
        some = every[start : start + MOST_HEADS]
        spec = job(*some, validation_prefix=validation, training=training)
        found = open_datasets(spec, root)
        for dataset in (found.train, found.validation):
            sample = dataset.sample(0, 0)
            for name, target in sample.targets.items():
                assert target is not None
                check_valid(found.head_info[name], target, (64, 40))


def test_boxes_of_segments_and_of_masks_are_those_that_the_dataset_was_made_of(
    tmp_path: Path,
) -> None:
    folder = make("everything", tmp_path, count=12, held_out=1, size=SIZE) / "train"
    split = opened(folder, ("panoptic", Task.OBJECT_DETECTION), ("boxes", Task.OBJECT_DETECTION))
    for name in split.names:
        boxes = {set_: boxes_of(split, set_, name) for set_ in ("panoptic", "boxes")}
        # The ground is a segment as well, of which the file of boxes says nothing.
        digits = [each for each in boxes["panoptic"] if each[1] != "background"]
        assert digits == boxes["boxes"]
        assert len(boxes["panoptic"]) == len(digits) + 1


def test_boxes_of_smaller_maps_are_theirs_but_for_a_pixel_of_the_map(tmp_path: Path) -> None:
    step, options = 3, Options(shrink=3)
    full = make("instance", tmp_path / "full", count=8, held_out=1) / "train"
    small = make("instance", tmp_path / "small", count=8, held_out=1, options=options) / "train"
    ours, theirs = (opened(f, ("instance", Task.OBJECT_DETECTION)) for f in (small, full))
    for name in ours.names:
        found, exact = boxes_of(ours, "instance", name), boxes_of(theirs, "instance", name)
        assert len(found) <= len(exact)
        for box, category in found:
            assert any(
                category == other
                and max(abs(a - b) for a, b in zip(box, sides, strict=True)) < step
                for sides, other in exact
            )


def test_labels_are_what_the_dataset_says_that_there_is_by_whatever_path(tmp_path: Path) -> None:
    folder = make("everything", tmp_path, count=12, held_out=1, size=SIZE) / "train"
    truth = entries(folder, "labels")
    labels = Task.MULTILABEL_CLASSIFICATION
    sets = ("panoptic", "boxes", "quads", "labels")
    split = opened(folder, *((name, labels) for name in sets))
    for name, expected in truth.items():
        for set_ in sets:
            target = split.feeds[set_].target(name, (SIZE, SIZE))
            assert isinstance(target, LabelsTarget)
            known = split.head_info[set_].categories
            found = [known[label] for label in target.labels.tolist()]
            assert [each for each in found if each != "background"] == sorted(
                expected, key=known.index
            )


def test_boxes_of_quadrilaterals_and_keypoints_are_their_hulls(tmp_path: Path) -> None:
    folder = make("everything", tmp_path, count=12, held_out=1, size=SIZE) / "train"
    quads, instances = entries(folder, "quads"), entries(folder, "keypoints")
    split = opened(folder, ("quads", Task.OBJECT_DETECTION), ("keypoints", Task.OBJECT_DETECTION))
    assert split.head_info["keypoints"].categories == ("object",)
    for name in split.names:
        outlines = [each["quad"] for each in quads[name]]
        found = {set_: [box for box, _ in boxes_of(split, set_, name)] for set_ in split.feeds}
        assert np.array(found["quads"]) == pytest.approx(np.array(sorted(map(hull, outlines))))
        seen = [[point for point in each.values() if point] for each in instances[name]]
        hulls = sorted(hull(points) for points in seen if points)
        assert np.array(found["keypoints"]) == pytest.approx(np.array(hulls))


def boxes_of(split: Split, set_: str, name: str) -> list[tuple[list[float], str]]:
    """Boxes with the names of their categories, sorted."""
    with Image.open(split.folder / "images" / name) as image:
        target = split.feeds[set_].target(name, image.size)
    assert isinstance(target, BoxesTarget)
    known = split.head_info[set_].categories
    return sorted(
        (box, known[category])
        for box, category in zip(target.boxes.tolist(), target.categories.tolist(), strict=True)
    )


def hull(points: list[list[float]]) -> list[float]:
    """The box around points, at least a pixel wide and high."""
    (left, right), (top, bottom) = (span(sides) for sides in zip(*points, strict=True))
    return [left, top, right, bottom]


def span(values: tuple[float, ...]) -> tuple[float, float]:
    lacking = max(0.0, 1 - (max(values) - min(values))) / 2
    return min(values) - lacking, max(values) + lacking
