"""Self-supervised heads, judged by what they never saw: labels, and real anomalies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sihl_api.tasks import Task
from sihl_trainer.dataset.dataset import VisionDataset
from sihl_trainer.dataset.loading import validation_batches
from sihl_trainer.tasks.measures.roc import Roc
from sihl_trainer.tasks.passes import Keys, Pass
from sihl_trainer.training.run import Run
from tests.bench.tasks.data import TRAIN, VALIDATION, drawn_digits, names
from tests.bench.tasks.plans import HEAD

NEIGHBOURS = 5
ANOMALIES = "anomalies"


def nearest_neighbours(run: Run, folder: Path) -> float:
    """Share of validation digits that the five nearest training images tell, by cosine."""
    rows = [_directions(predicted(run, folder / split)) for split in (TRAIN, VALIDATION)]
    return voted(rows[0], rows[1], folder)


def voted(known: NDArray[Any], asked: NDArray[Any], folder: Path) -> float:
    """Share of rows [Q, E] whose digit most of their five nearest [N, E] show, by dot product.

    Args:
        known: Of the training images.
        asked: Of the validation images.
        folder: Of an `unlabelled` dataset that was made from seed 0.
    """
    labels, truth = (drawn_digits(folder / s, "unlabelled", 0) for s in (TRAIN, VALIDATION))
    nearest = np.argsort(-(asked @ known.T), axis=1)[:, :NEIGHBOURS]
    votes = np.apply_along_axis(np.bincount, 1, labels[nearest], minlength=10)
    return float((votes.argmax(1) == truth).mean())


def anomalies(run: Run, folder: Path) -> float:
    """Area under the ROC curve of the head's scores, anomalies against validation images."""

    def scores(split: Path) -> NDArray[Any]:
        return np.array([each.score for each in predictions(run, split)])

    return area(folder, scores)


def area(folder: Path, scores: Callable[[Path], NDArray[Any]]) -> float:
    """Area under the ROC curve of what scores the images of a folder [N]."""
    measure = Roc()
    for split in (VALIDATION, ANOMALIES):
        found = scores(folder / split)
        measure.update(np.full(len(found), split == ANOMALIES), found)
    return measure.compute()["auroc"]


def predicted(run: Run, split: Path) -> NDArray[np.float32]:
    """The head's embeddings of a folder's images, [N, E]."""
    return np.stack([each.numpy() for each in predictions(run, split)])


def predictions(run: Run, split: Path) -> list[Any]:
    """What the head predicts of a folder's images, sorted by name."""
    size = (run.spec.training.input_size.width, run.spec.training.input_size.height)
    images = VisionDataset(split / "images", names(split), {}, size)
    head, found = run.model.head(HEAD), []
    run.model.eval()
    with torch.inference_mode():
        for batch in validation_batches(images, run.spec):
            keys = Keys(run.spec.training.seed, batch.epochs, batch.indices)
            views = run.model.views(batch.images, {Pass.PLAIN}, keys)
            found += head.predict(views[Pass.PLAIN])
    return found


def _directions(rows: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


def judged(run: Run, folder: Path) -> dict[str, float]:
    """What the judge of a plan's head says; nothing of other jobs."""
    (head, *others) = run.spec.model.heads
    if others or head.task not in JUDGES or head.name != HEAD:
        return {}
    name, judge = JUDGES[head.task]
    return {f"{HEAD}/{name}": judge(run, folder)}


JUDGES: dict[Task, tuple[str, Callable[[Run, Path], float]]] = {
    Task.VIEW_INVARIANCE: ("nearest5", nearest_neighbours),
    Task.ANOMALY_DETECTION: ("auroc_of_anomalies", anomalies),
}
"""By task: what the result is called, and who measures it."""
