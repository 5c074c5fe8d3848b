"""scikit-learn's classifiers and regressors on pixels, and other ways to use pixels alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsRegressor, NearestNeighbors
from sklearn.svm import SVC
from torch.nn import functional as F

from sihl_api.tasks import Task
from sihl_trainer.tasks.measures.retrieval import Retrieval
from tests.bench.tasks import judged
from tests.bench.tasks.data import TRAIN, VALIDATION, entries, metadata, pixels
from tests.bench.tasks.plans import Plan
from tests.bench.tasks.trivial import ratio

SIDE = 32  # pixels, to which images are made smaller
GREY_SIDE = 16


def rows(split: Path, side: int = SIDE) -> NDArray[np.float32]:
    """Images as rows of pixels, [N, side * side * 3]."""
    found = pixels(split, (side, side))
    return found.reshape(len(found), -1)


def grey(split: Path) -> NDArray[np.float32]:
    """Small grey images, each with the same mean and contrast, [N, GREY_SIDE ** 2]."""
    found = pixels(split, (GREY_SIDE, GREY_SIDE)).mean(-1)
    found = found.reshape(len(found), -1)
    return np.asarray((found - found.mean(1, keepdims=True)) / found.std(1, keepdims=True))


def accuracy(model: Any, folder: Path) -> float:
    """Of a classifier."""
    model.fit(rows(folder / TRAIN), entries(folder / TRAIN))
    truth = np.array(entries(folder / VALIDATION))
    return float((model.predict(rows(folder / VALIDATION)) == truth).mean())


def f1_of_labels(model: Any, folder: Path) -> float:
    """Of a classifier of each label, over all pairs of image and label."""
    known = metadata(folder / TRAIN)["labels"]
    said = [
        np.array([[label in entry for label in known] for entry in entries(folder / split)])
        for split in (TRAIN, VALIDATION)
    ]
    model.fit(rows(folder / TRAIN), said[0])
    return float(f1_score(said[1], model.predict(rows(folder / VALIDATION)), average="micro"))


def error(model: Any, folder: Path) -> float:
    """Mean absolute error of a regressor."""
    model.fit(grey(folder / TRAIN), entries(folder / TRAIN))
    off = model.predict(grey(folder / VALIDATION)) - np.array(entries(folder / VALIDATION))
    return float(np.abs(off).mean())


def nearest_pixels(plan: Plan, folder: Path) -> float:
    """The task without learning anything: images are as alike as their pixels are."""
    if plan.task is Task.ANOMALY_DETECTION:
        return judged.area(folder, lambda split: _distances(folder / TRAIN, split))
    known, asked = (_unit(grey(folder / split)) for split in (TRAIN, VALIDATION))
    if plan.task is Task.VIEW_INVARIANCE:
        return judged.voted(known, asked, folder)
    truth, measure = entries(folder / VALIDATION), Retrieval(GREY_SIDE**2)
    measure.update(asked, [sorted(set(truth)).index(each) for each in truth])
    return measure.compute()["recall1"]


def shrunk(plan: Plan, folder: Path) -> float:
    """Signal-to-noise ratio of images that were made four times smaller, and large again."""
    truth = pixels(folder / VALIDATION, plan.size)
    images = torch.from_numpy(truth).permute(0, 3, 1, 2)
    small = F.interpolate(images, scale_factor=0.25, mode="bilinear", antialias=True)
    large = F.interpolate(small, images.shape[-2:], mode="bilinear")
    return ratio(truth, large.permute(0, 2, 3, 1).numpy())


def _distances(known: Path, asked: Path) -> NDArray[Any]:
    """Of each image to the nearest normal one."""
    nearest = NearestNeighbors(n_neighbors=1).fit(rows(known))
    return np.asarray(nearest.kneighbors(rows(asked))[0][:, 0])


def _unit(vectors: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


CLASSICAL: dict[str, tuple[str, Callable[[Plan, Path], float]]] = {
    "logistic-regression": (
        "scikit-learn LogisticRegression",
        lambda _, folder: accuracy(LogisticRegression(max_iter=2000), folder),
    ),
    "svc": ("scikit-learn SVC", lambda _, folder: accuracy(SVC(C=10), folder)),
    "one-vs-rest": (
        "scikit-learn LogisticRegression a label",
        lambda _, folder: f1_of_labels(
            OneVsRestClassifier(LogisticRegression(max_iter=500)), folder
        ),
    ),
    "ridge": ("scikit-learn Ridge", lambda _, folder: error(Ridge(), folder)),
    "nearest-neighbours": (
        "scikit-learn KNeighborsRegressor",
        lambda _, folder: error(KNeighborsRegressor(weights="distance"), folder),
    ),
    "gradient-boosting": (
        "scikit-learn HistGradientBoosting",
        lambda _, folder: error(HistGradientBoostingRegressor(), folder),
    ),
    "shrunk": ("bilinear, from a quarter of the size", shrunk),
    "nearest-pixels": ("nearest pixels", nearest_pixels),
}
"""By name: what the table calls it, and what the plan's metric says of it."""
