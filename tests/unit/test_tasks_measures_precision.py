from __future__ import annotations

import pickle
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from faster_coco_eval import COCO, COCOeval_faster
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torchmetrics.detection import MeanAveragePrecision

from sihl_trainer.tasks.measures.average_precision import RECALLS, THRESHOLDS, AveragePrecision
from sihl_trainer.tasks.measures.geometry import box_iou, keypoint_similarity

CATEGORIES = 3


class Image(NamedTuple):
    """A random one: whole coordinates, so that thresholds are met exactly; scores that tie."""

    boxes: NDArray[Any]
    scores: NDArray[Any]
    found: NDArray[Any]
    true_boxes: NDArray[Any]
    true: NDArray[Any]


def scene(seed: int, images: int) -> list[Image]:
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(images):
        objects = int(generator.integers(0, 7)) * int(generator.integers(0, 2))
        corner = generator.integers(0, 12, (objects, 2))
        true_boxes = np.concatenate((corner, corner + generator.integers(2, 11, (objects, 2))), 1)
        true = generator.integers(0, CATEGORIES, objects)
        near = generator.integers(0, objects, generator.integers(0, 15) if objects else 0)
        shifted = true_boxes[near] + generator.integers(-1, 2, (len(near), 4))
        wild = generator.integers(0, 12, (generator.integers(0, 4), 2))
        boxes = np.concatenate((shifted, np.concatenate((wild, wild + 5), 1)))
        found = np.concatenate((true[near], generator.integers(0, CATEGORIES, len(wild))))
        scores = (generator.integers(1, 6, len(boxes)) / 5).astype(np.float32)
        made.append(Image(boxes, scores, found, true_boxes, true))
    return made


def measured(images: list[Image], numbers: list[int] | None = None) -> AveragePrecision:
    measure = AveragePrecision(CATEGORIES)
    for number, image in zip(numbers or range(len(images)), images, strict=True):
        similarity = box_iou(image.boxes, image.true_boxes)
        measure.update(similarity, image.scores, image.found, image.true, number)
    return measure


def coco(images: list[Image]) -> dict[str, float]:
    metric = MeanAveragePrecision(
        backend="faster_coco_eval",
        iou_thresholds=list(THRESHOLDS),  # its own are rounded to float32
        rec_thresholds=RECALLS.tolist(),
    )
    metric.warn_on_many_detections = False
    for image in images:
        metric.update(
            [
                {
                    "boxes": torch.tensor(image.boxes, dtype=torch.float32),
                    "scores": torch.tensor(image.scores),
                    "labels": torch.tensor(image.found),
                }
            ],
            [
                {
                    "boxes": torch.tensor(image.true_boxes, dtype=torch.float32),
                    "labels": torch.tensor(image.true),
                }
            ],
        )
    found = metric.compute()
    names = {"map": "map", "map50": "map_50", "map75": "map_75", "mar100": "mar_100"}
    values = {ours: float(found[theirs]) for ours, theirs in names.items()}
    return {name: value for name, value in values.items() if value >= 0}  # -1: there is none


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 8))
def test_average_precision_is_cocos(seed: int, images: int) -> None:
    made = scene(seed, images)
    assert measured(made).compute() == pytest.approx(coco(made), abs=1e-6)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.permutations(range(7)), st.lists(st.integers(0, 7), max_size=3))
def test_average_precision_does_not_depend_on_who_saw_which_image(
    seed: int, order: list[int], cuts: list[int]
) -> None:
    made = scene(seed, 7)
    whole = measured(made).compute()
    parts = [
        measured([made[i] for i in order[start:end]], order[start:end])
        for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), 7], strict=True)
    ]
    first, *others = [pickle.loads(pickle.dumps(part)) for part in parts]
    for other in others:
        first.merge(other)
    assert first.compute() == whole


@pytest.mark.parametrize("first_hit", [99, 101])
@pytest.mark.parametrize("others", [0, 2])
def test_only_the_best_hundred_of_a_category_in_an_image_count(first_hit: int, others: int) -> None:
    count = 150
    boxes = np.tile([0, 0, 10, 10], (count, 1))
    boxes[first_hit:] += 20
    scores = np.linspace(1, 0.1, count, dtype=np.float32)
    found = np.where(np.arange(count) % 2, 0, others)
    made = [Image(boxes, scores, found, np.array([[20, 20, 30, 30]]), np.zeros(1, np.int64))]
    result = measured(made).compute()
    assert result == pytest.approx(coco(made), abs=1e-6)
    assert result["mar100"] == float(first_hit == 99 or others == 2)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_of_objects_that_are_equally_like_the_last_is_taken(order: list[int]) -> None:
    true = np.array([[0, 0, 10, 10], [4, 0, 14, 10]])[order]
    found = np.array([[2, 0, 12, 10], [5, 0, 15, 10]])  # like both alike, and like one
    zero = np.zeros(2, np.int64)
    made = [Image(found, np.array([0.9, 0.8], np.float32), zero, true, zero)]
    assert measured(made).compute() == pytest.approx(coco(made), abs=1e-6)


def test_a_dataset_without_objects_has_no_precision() -> None:
    none = np.zeros((0, 4), np.int64)
    made = [Image(np.array([[0, 0, 5, 5]]), np.ones(1), np.zeros(1), none, np.zeros(0))]
    for images in ([], made):
        assert measured(images).compute() == {}


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10**6))
def test_average_precision_over_keypoints_is_cocos(seed: int) -> None:
    generator = np.random.default_rng(seed)
    sigmas, measure = np.array([0.05, 0.1, 0.2]), AveragePrecision(1, max_detections=20)
    truths: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image in range(1, 4):
        points = generator.uniform(0, 40, (3, 3, 2))
        visible = generator.random((3, 3)) < 0.7
        visible[:, 0] = True  # COCO does not count objects without: that is its ground truth's
        areas = generator.uniform(1100, 2000, 3)
        guesses = points[generator.integers(0, 3, 6)] + generator.normal(0, 4, (6, 3, 2))
        scores = generator.random(6).astype(np.float32)
        for keypoints, shown, area in zip(points, visible, areas, strict=True):
            flat = np.concatenate((keypoints, 2 * shown[:, None]), 1).ravel().tolist()
            truth = {"keypoints": flat, "num_keypoints": int(shown.sum()), "area": float(area)}
            truth |= {"id": len(truths) + 1, "image_id": image, "category_id": 1, "iscrowd": 0}
            truths.append(truth | {"bbox": [0, 0, 40, 40]})
        for keypoints, score in zip(guesses, scores.tolist(), strict=True):
            flat = np.concatenate((keypoints, np.full((3, 1), 2)), 1).ravel().tolist()
            found.append({"image_id": image, "category_id": 1, "keypoints": flat, "score": score})
        similarity = keypoint_similarity(guesses, points, visible, areas, sigmas)
        measure.update(similarity, scores, np.zeros(6, np.int64), np.zeros(3, np.int64), image)
    dataset = {"images": [{"id": i} for i in (1, 2, 3)], "categories": [{"id": 1, "name": "a"}]}
    truth_index = COCO(dataset | {"annotations": truths})
    evaluation = COCOeval_faster(
        truth_index, truth_index.loadRes(found), "keypoints", kpt_oks_sigmas=sigmas
    )
    evaluation.run()
    wanted = {"map": evaluation.stats[0], "map50": evaluation.stats[1]}
    wanted |= {"map75": evaluation.stats[2], "mar20": evaluation.stats[5]}
    assert measure.compute() == pytest.approx(wanted, abs=1e-6)
