"""What is reached without looking at images: the commonest answer, the mean, nothing found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from sihl_api.tasks import Task
from sihl_trainer.tasks.measures.average_precision import AveragePrecision
from sihl_trainer.tasks.measures.confusion import ConfusionMatrix
from sihl_trainer.tasks.measures.depth import DepthErrors
from sihl_trainer.tasks.measures.panoptic import PanopticQuality
from sihl_trainer.tasks.measures.retrieval import Retrieval
from tests.bench.tasks import judged
from tests.bench.tasks.data import (
    TRAIN,
    VALIDATION,
    entries,
    least_wrong,
    metadata,
    names,
    pages,
    pixels,
)
from tests.bench.tasks.ours import prepared
from tests.bench.tasks.plans import Plan

Found = tuple[str, float]
"""What it is, and what the plan's metric says of it."""
VOID = 255


def commonest(_: Plan, folder: Path) -> Found:
    """Share of validation images that training's commonest entry is right for."""
    (answer, _count), *_rest = Counter(entries(folder / TRAIN)).most_common(1)
    truth = entries(folder / VALIDATION)
    return f"always {answer!r}", sum(entry == answer for entry in truth) / len(truth)


def every_label(_: Plan, folder: Path) -> Found:
    """F1 of saying that every label is there; of none it is 0."""
    known = metadata(folder / TRAIN)["labels"]
    truth = np.array([[each in entry for each in known] for entry in entries(folder / VALIDATION)])
    return "every label", float(f1_score(truth, np.ones_like(truth), average="micro"))


def random_embedding(_: Plan, folder: Path) -> Found:
    """Recall@1 of random directions."""
    truth = entries(folder / VALIDATION)
    measure = Retrieval(64)
    rows = np.random.default_rng(0).normal(size=(len(truth), 64))
    measure.update(rows, [sorted(set(truth)).index(each) for each in truth])
    return "random embedding", measure.compute()["recall1"]


def the_mean(_: Plan, folder: Path) -> Found:
    """Mean absolute error of training's mean."""
    middle = np.mean(entries(folder / TRAIN))
    return "the mean", float(np.abs(np.array(entries(folder / VALIDATION)) - middle).mean())


def nothing(_: Plan, folder: Path) -> Found:
    """Average precision where nothing is found."""
    measure = AveragePrecision(1)
    for place in range(len(names(folder / VALIDATION))):
        measure.update(np.zeros((0, 1)), [], [], [0], image=place)
    return "nothing found", measure.compute()["map50"]


def all_background(_: Plan, folder: Path) -> Found:
    """Mean IoU of the first category everywhere."""
    measure = ConfusionMatrix(len(metadata(folder / VALIDATION)["categories"]), VOID)
    for truth in category_maps(folder / VALIDATION):
        measure.update(truth, np.zeros_like(truth))
    return "all background", measure.compute()["miou"]


def one_segment(_: Plan, folder: Path) -> Found:
    """Panoptic quality of the first category everywhere, as one segment."""
    split = folder / VALIDATION
    found = metadata(split)
    measure = PanopticQuality(len(found["categories"]))
    maps = pages(split, found["annotations"])
    for truth, every in zip(category_maps(split), maps, strict=True):
        ids = np.where(truth == 0, 0, every[1].astype(np.int64) + 1)  # stuff is one segment
        empty = np.zeros_like(truth, np.int64)
        measure.update(truth.astype(np.int64), ids, empty, empty, truth == VOID)
    return "all background", measure.compute()["pq"]


def one_map(_: Plan, folder: Path) -> Found:
    """Relative error of the map that is least wrong for training's images."""
    maps = [_depths(folder / split) for split in (TRAIN, VALIDATION)]
    found = np.stack([least_wrong(maps[0][:, row]) for row in range(maps[0].shape[1])])
    found[found == 0] = np.median(maps[0][maps[0] > 0])  # nothing is known of these places
    measure = DepthErrors()
    for truth in maps[1]:
        measure.update(truth, found)
    return "one map", measure.compute()["abs_rel"]


def mean_image(plan: Plan, folder: Path) -> Found:
    """Signal-to-noise ratio of training's mean image."""
    mean = pixels(folder / TRAIN, plan.size).mean(0)
    return "mean image", ratio(pixels(folder / VALIDATION, plan.size), mean)


def untrained(plan: Plan, folder: Path) -> Found:
    """The same network with random weights, by neighbours of its features."""
    with prepared(plan.spec(), folder, torch.get_num_threads()) as run:
        return "untrained network", judged.nearest_neighbours(run, folder)


def far_from_mean(plan: Plan, folder: Path) -> Found:
    """Area under the ROC curve of how far an image is from training's mean image."""
    mean = pixels(folder / TRAIN, plan.size).mean(0)

    def scores(split: Path) -> NDArray[Any]:
        return np.asarray(np.square(pixels(split, plan.size) - mean).mean((1, 2, 3)))

    return "far from mean image", judged.area(folder, scores)


# --- maps ------------------------------------------------------------------------------------


def category_maps(split: Path) -> list[NDArray[np.uint8]]:
    """Each image's categories by index, `VOID` where black."""
    found = metadata(split)
    colors = [found["colors"][name] for name in found["categories"]]
    maps = []
    for every in pages(split, found["annotations"]):
        truth = np.full(every[0].shape[:2], VOID, np.uint8)
        for index, color in enumerate(colors):
            truth[(every[0] == np.array(color, np.uint8)).all(-1)] = index
        maps.append(truth)
    return maps


def _depths(split: Path) -> NDArray[np.float64]:
    found = pages(split, metadata(split)["annotations"])
    return np.stack([every[0] for every in found]).astype(np.float64)


def ratio(truth: NDArray[Any], found: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio in decibels, of values in 0 to 1."""
    return float(-10 * np.log10(np.square(truth - found).mean()))


TRIVIAL: dict[Task, Callable[[Plan, Path], Found]] = {
    Task.MULTICLASS_CLASSIFICATION: commonest,
    Task.MULTILABEL_CLASSIFICATION: every_label,
    Task.METRIC_LEARNING: random_embedding,
    Task.REGRESSION: the_mean,
    Task.TEXT_RECOGNITION: commonest,
    Task.OBJECT_DETECTION: nothing,
    Task.KEYPOINT_DETECTION: nothing,
    Task.QUADRILATERAL_DETECTION: nothing,
    Task.INSTANCE_SEGMENTATION: nothing,
    Task.SEMANTIC_SEGMENTATION: all_background,
    Task.PANOPTIC_SEGMENTATION: one_segment,
    Task.DEPTH_ESTIMATION: one_map,
    Task.AUTOENCODING: mean_image,
    Task.VIEW_INVARIANCE: untrained,
    Task.ANOMALY_DETECTION: far_from_mean,
}
