"""Any number of objects an image is predicted, and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from examples.scenes.files import write_pages
from sihl_api.record import HeadConfig
from sihl_api.tasks import DETECTING, Task
from sihl_trainer.dataset.dataset import open_datasets
from sihl_trainer.fetch.check import check_images, open_to_check
from sihl_trainer.fetch.fetched import fullest_of, read_fetched, write_fetched
from sihl_trainer.fetch.fingerprint import fingerprint
from sihl_trainer.fetch.progress import FetchProgress
from sihl_trainer.model.model import model_config
from sihl_trainer.tasks.dense.limit import limit
from sihl_trainer.tasks.head import Head
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.instance_segmentation.target import instances
from sihl_trainer.tasks.keypoint_detection.annotations import KeypointInfo
from sihl_trainer.tasks.keypoint_detection.metric import KeypointsPrediction
from sihl_trainer.tasks.keypoint_detection.target import KeypointsTarget
from sihl_trainer.tasks.masks.crops import InstancesPrediction
from sihl_trainer.tasks.object_detection.head import _suppressed
from sihl_trainer.tasks.object_detection.metric import BoxesPrediction
from sihl_trainer.tasks.object_detection.target import BoxesTarget
from sihl_trainer.tasks.panoptic_segmentation.annotations import PanopticInfo
from sihl_trainer.tasks.panoptic_segmentation.metric import PanopticPrediction
from sihl_trainer.tasks.panoptic_segmentation.target import PanopticTarget
from sihl_trainer.tasks.quadrilateral_detection.metric import QuadrilateralsPrediction
from sihl_trainer.tasks.quadrilateral_detection.target import QuadrilateralsTarget
from sihl_trainer.tasks.rooms import head_of
from tests.support.datasets import BOX_HEAD, BOXES, job, jpeg, write
from tests.support.heads import measured, view
from tests.support.masks import features

MANY = 700
SIDE = 8
SETTINGS: dict[str, Any] = {
    "categories": ["cell"],
    "stuff": [],
    "colors": {"cell": [255, 0, 0]},
    "keypoints": ["a", "b"],
    "symmetry": [],
    "sigmas": [0.05, 0.05],
}
each_task = pytest.mark.parametrize("task", DETECTING)


def head(task: Task, **settings: Any) -> Head:
    config = HeadConfig(name="h", task=task, levels=[2, 4], settings=SETTINGS | settings)
    torch.manual_seed(0)
    return head_of(task)(config, dict.fromkeys((2, 3, 4), 16)).eval()


def grid(count: int) -> torch.Tensor:
    """Boxes [count, 4] that do not touch."""
    place = torch.arange(count)
    x, y = place % 40 * (SIDE + 2.0), place // 40 * (SIDE + 2.0)
    return torch.stack((x, y, x + SIDE, y + SIDE), 1)


def truth(task: Task, count: int) -> tuple[Any, Any]:
    """So many objects, and the prediction of just these."""
    boxes, scores = grid(count), torch.ones(count)
    categories = torch.zeros(count, dtype=torch.int64)
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].view(-1, 4, 2)
    seen = torch.ones(count, 2, dtype=torch.bool)
    size = (400, 10 * (count // 40 + 1))
    mask = torch.ones(SIDE, SIDE, dtype=torch.bool)
    crops = [(mask, int(x), int(y)) for x, y, *_ in boxes.tolist()]
    segments = torch.zeros(size[1], size[0], dtype=torch.int16)
    for number, (_, x, y) in enumerate(crops, start=1):
        segments[y : y + SIDE, x : x + SIDE] = number
    match task:
        case Task.OBJECT_DETECTION:
            return BoxesPrediction(boxes, categories, scores), BoxesTarget(boxes, categories)
        case Task.QUADRILATERAL_DETECTION:
            found = QuadrilateralsPrediction(corners, categories, scores)
            return found, QuadrilateralsTarget(corners, categories)
        case Task.KEYPOINT_DETECTION:
            points = boxes.view(-1, 2, 2)
            target = KeypointsTarget(points, seen, torch.arange(2))
            return KeypointsPrediction(points, seen.float(), scores), target
        case Task.INSTANCE_SEGMENTATION:
            masks = InstancesPrediction(boxes.int(), [mask] * count, categories, scores)
            return masks, instances(crops, categories, size, size)
    return PanopticPrediction(segments, categories, scores), PanopticTarget(segments, categories)


@each_task
def test_the_truth_itself_scores_one_however_many_objects_an_image_has(task: Task) -> None:
    prediction, target = truth(task, MANY)
    results = measured(head(task), [prediction], [target])
    assert results == pytest.approx(dict.fromkeys(results, 1.0))


def count_of(prediction: Any) -> int:
    if isinstance(prediction, PanopticPrediction):
        return len(prediction.categories)
    return len(prediction.scores)


@each_task
@pytest.mark.parametrize("most", [3, 150])
def test_a_head_predicts_as_many_objects_as_its_setting_lets_it(task: Task, most: int) -> None:
    wild = head(task, maxDetections=most)
    for name, parameter in wild.named_parameters():
        if name.endswith("score.bias"):
            torch.nn.init.constant_(parameter, 4.0)
    with torch.inference_mode():
        found = wild.predict(view(features((2, 4), (256, 128))))
    things = max(map(count_of, found))
    assert 0 < things <= most
    if task is not Task.PANOPTIC_SEGMENTATION:  # whose things hide each other
        assert things > 100 or things == most


@pytest.mark.parametrize("count", [300, 5000])
def test_as_many_boxes_come_out_as_stood_apart(count: int) -> None:
    scores = torch.full((count, 1), 0.9)
    assert len(_suppressed(scores, grid(count), count).boxes) == count


@given(st.integers(0, 10_000), st.none() | st.integers(1, 10_000))
def test_the_setting_is_the_specs_or_leaves_room_for_twice_the_fullest_image(
    fullest: int, said: int | None
) -> None:
    chosen = limit(HeadInfo(Task.OBJECT_DETECTION, ("cell",), fullest=fullest, most=said))
    assert chosen == {"maxDetections": said or max(300, 2 * fullest)}


@each_task
def test_every_head_that_finds_objects_has_the_setting(task: Task) -> None:
    info = {
        Task.KEYPOINT_DETECTION: KeypointInfo(task, ("a", "b"), fullest=400),
        Task.PANOPTIC_SEGMENTATION: PanopticInfo(task, ("cell",), fullest=400),
    }.get(task, HeadInfo(task, ("cell",), fullest=400))
    assert head_of(task).settings(info)["maxDetections"] == 800


def test_the_fullest_image_of_either_split_counts_and_what_the_fetch_has_read(
    tmp_path: Path,
) -> None:
    for split, count in (("train", 200), ("validation", 400)):
        boxes = ", ".join("{category: cat, bbox: [1, 1, 5, 5]}" for _ in range(count))
        write(
            tmp_path / split,
            {
                "metadata.yaml": BOXES,
                "annotations.yaml": f"0.jpg: [{boxes}]\n1.jpg: []\n",
                "images/0.jpg": jpeg(seed=0),
                "images/1.jpg": jpeg(seed=1),
            },
        )
    spec = job(BOX_HEAD, validation_prefix="x")
    found = open_datasets(spec, tmp_path)
    settings = model_config(spec, found.head_info).heads[0].settings
    assert settings == {"categories": ["cat", "dog"], "maxDetections": 800}
    told = open_datasets(spec, tmp_path, {spec.model.heads[0].name: 500})
    assert model_config(spec, told.head_info).heads[0].settings["maxDetections"] == 1000


def test_the_fetch_leaves_word_of_the_fullest_image_where_each_has_a_file(tmp_path: Path) -> None:
    pages = [np.zeros((12, 16, 3), np.uint8) for _ in range(4)]
    for number, page in enumerate(pages[:3]):
        page[2, number] = (255, 0, 0)
    text = "task: instance segmentation\ncategories: [cell]\ncolors: {cell: [255, 0, 0]}\n"
    files = {f"images/{name}.jpg": jpeg(16, 12) for name in "ab"}
    write(tmp_path / "train", {"metadata.yaml": text + "annotations: masks\n", **files})
    for name, shown in (("a", pages), ("b", pages[3:])):
        write_pages(tmp_path / "train" / "masks" / f"{name}.tiff", shown)
    spec = job({"name": "cells", "task": "InstanceSegmentation"})
    opened = open_to_check(spec, "train", tmp_path)
    check_images(opened, FetchProgress("train"))
    write_fetched(tmp_path, "train", "t", fingerprint(opened, []), (), opened.fullest())
    assert fullest_of(read_fetched(tmp_path)) == {"cells": 3}
