"""What is large: a step and a validation batch of it, or a file, beside what is a tenth as large.

Nothing may grow faster than what is given; each is a process of its own, so that its peak is too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from examples.scenes.files import (
    flow,
    write_annotations,
    write_image,
    write_metadata,
    write_pages,
)
from sihl_api.tasks import Task
from sihl_trainer.tasks.rooms import format_of
from tests.bench.tasks.clock import of_cores
from tests.bench.tasks.data import TRAIN, VALIDATION, kept
from tests.bench.tasks.plans import HEAD, PYRAMID, Plan, spec

Results = dict[str, float]
STEP, VALIDATED, READING, MEASURED = "step, s", "validation, s", "reading, s", "measuring, s"
STRIPE = 3  # pixels wide: so many fit that all classes are in each image
WARM = 1  # steps before the one that is measured


@dataclass(frozen=True)
class Trap:
    """Something that can be large.

    Args:
        told: What it is, with `{}` for how much of it.
        sizes: How much: a little, and what it is about.
        measured: Of so much.
    """

    told: str
    sizes: tuple[int, int]
    measured: Callable[[int, int], Results]


def one_step(plan: Plan, make: Callable[[Path, int], None], name: str) -> Callable[..., Results]:
    """Measures a training step and the validation of one batch."""

    def measured(amount: int, threads: int) -> Results:
        # Only here, since a file is read without torch, and its process is measured too.
        from sihl_trainer.dataset.loading import batches
        from sihl_trainer.training.evaluation import validate
        from sihl_trainer.training.loop import LossModule, step
        from tests.bench.tasks.ours import prepared

        def write(folder: Path) -> None:
            for split in (TRAIN, VALIDATION):
                make(folder / split, amount)

        folder = kept(f"{name}-{amount}", write)
        job = spec(plan, [{"name": HEAD, "task": plan.task.value}])
        with prepared(job, folder, threads) as run:
            source = batches(run.data.train, job)
            module = LossModule(run.model, run.loss_weights, run.ranks)
            run.model.train()
            for _ in range(WARM):
                step(run, module, next(source))
            clock = of_cores(threads)
            began = clock()
            step(run, module, next(source))
            stepped = clock()
            validate(run)
            return {STEP: stepped - began, VALIDATED: clock() - stepped}

    return measured


# --- scenes ----------------------------------------------------------------------------------

PANOPTIC = Plan(Task.PANOPTIC_SEGMENTATION, "", "pq", size=(1024, 1024), batch=2, neck=PYRAMID)
MANY_BOXES = Plan(Task.OBJECT_DETECTION, "", "map50", size=(512, 512), batch=4, neck=PYRAMID)
MANY_CATEGORIES = Plan(Task.OBJECT_DETECTION, "", "map50", size=(256, 256), batch=4, neck=PYRAMID)
MANY_CLASSES = Plan(Task.SEMANTIC_SEGMENTATION, "", "miou", size=(512, 512), batch=16, neck=PYRAMID)


def instances(split: Path, amount: int) -> None:
    """A batch of scenes with so many ellipses, as panoptic maps."""
    side, rng = PANOPTIC.size[0], np.random.default_rng(amount)
    rows, columns = np.mgrid[:side, :side]
    colors = {"ground": [90, 90, 90], "thing": [200, 0, 0]}
    for number in range(PANOPTIC.batch):
        ids = np.zeros((side, side), np.uint16)
        for each in range(1, amount + 1):
            y, x = rng.uniform(0.05, 0.95, 2) * side
            a, b = rng.uniform(0.03, 0.1, 2) * side
            ids[((columns - x) / a) ** 2 + ((rows - y) / b) ** 2 < 1] = each
        kinds = np.where((ids > 0)[..., None], colors["thing"], colors["ground"])
        write_image(split, f"{number}.jpg", noisy(kinds, rng))
        write_pages(split / "panoptic" / f"{number}.tiff", [kinds.astype(np.uint8), ids])
    categories = {"categories": list(colors), "colors": colors, "stuff": ["ground"]}
    task = {"task": "panoptic segmentation", "annotations": "panoptic"}
    write_metadata(split, {**task, **categories})


def boxes(split: Path, amount: int) -> None:
    """A batch of images with so many boxes each."""
    side, rng = MANY_BOXES.size[0], np.random.default_rng(amount)
    boxed(split, MANY_BOXES, {f"{n}.jpg": some_boxes(amount, 1, side, rng) for n in range(4)}, 1)


def categories(split: Path, amount: int) -> None:
    """A batch of images with ten boxes each, of so many categories."""
    side, rng = MANY_CATEGORIES.size[0], np.random.default_rng(amount)
    entries = {f"{n}.jpg": some_boxes(10, amount, side, rng) for n in range(4)}
    boxed(split, MANY_CATEGORIES, entries, amount)


def boxed(split: Path, plan: Plan, entries: dict[str, Any], count: int) -> None:
    """Images of noise with their boxes."""
    rng = np.random.default_rng(0)
    for name in entries:
        write_image(split, name, noisy(np.full((*plan.size[::-1], 3), 128), rng))
    write_annotations(split / "boxes.yaml", entries)
    write_metadata(split, boxes_metadata(count, "boxes.yaml"))


def classes(split: Path, amount: int) -> None:
    """A batch of maps of stripes in so many categories."""
    side, rng = MANY_CLASSES.size[0], np.random.default_rng(amount)
    colors = {f"c{n}": [1 + n % 16 * 15, 1 + n // 16 * 15, 99] for n in range(amount)}
    palette = np.array(list(colors.values()), np.uint8)
    (split / "maps").mkdir(parents=True)
    for number in range(MANY_CLASSES.batch):
        stripes = (np.arange(side) // STRIPE + rng.integers(amount)) % amount
        picture = np.broadcast_to(palette[stripes][:, None], (side, side, 3))
        write_image(split, f"{number}.jpg", noisy(picture, rng))
        write_map(split / "maps" / f"{number}.png", np.ascontiguousarray(picture))
    task = {"task": "semantic segmentation", "annotations": "maps"}
    write_metadata(split, {**task, "categories": list(colors), "colors": colors})


def write_map(path: Path, pixels: np.ndarray) -> None:
    """Write a map as a PNG."""
    from PIL import Image

    Image.fromarray(pixels).save(path)


def noisy(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture that is not flat, uint8."""
    return np.clip(picture + rng.normal(0, 20, picture.shape), 0, 255).astype(np.uint8)


def some_boxes(
    amount: int, kinds: int, side: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """An image's entry."""
    corners = rng.integers(0, side * 3 // 4, (amount, 2))
    ends = corners + rng.integers(8, side // 4, (amount, 2))
    kind = rng.integers(kinds, size=amount)
    return [
        {"category": f"c{k}", "bbox": [*map(int, a), *map(int, b)]}
        for k, a, b in zip(kind, corners, ends, strict=True)
    ]


def boxes_metadata(count: int, file: str) -> dict[str, object]:
    """Of boxes in so many categories."""
    found = {"task": "object detection", "categories": [f"c{n}" for n in range(count)]}
    return {**found, "annotations": file}


# --- one large file --------------------------------------------------------------------------

BOXES_AN_IMAGE = 5


def reading(suffix: str) -> Callable[[int, int], Results]:
    """Measures the reading of one file with so many boxes."""

    def measured(amount: int, threads: int) -> Results:
        def write(folder: Path) -> None:
            rng = np.random.default_rng(0)
            entries = {
                f"{number:06d}.jpg": some_boxes(BOXES_AN_IMAGE, 10, 512, rng)
                for number in range(amount // BOXES_AN_IMAGE)
            }
            path = folder / f"boxes.{suffix}"
            if suffix == "json":
                path.write_text(json.dumps(entries))
            else:
                path.write_text("".join(f"{n}: {flow(e)}\n" for n, e in entries.items()))

        path = kept(f"file-{suffix}-{amount}", write) / f"boxes.{suffix}"
        how = format_of(Task.OBJECT_DETECTION)
        info = how.read_info({"categories": [f"c{n}" for n in range(10)]}, "metadata.yaml")
        clock = of_cores(threads)
        began = clock()
        annotations = how.read(path, info)
        over = clock() - began
        assert len(annotations.names) == amount // BOXES_AN_IMAGE
        return {READING: over}

    return measured


# --- what a validation keeps -----------------------------------------------------------------

CROWD = 100  # boxes of an image, and detections
CATEGORIES = 80
AT_A_TIME = 16


def measuring(amount: int, threads: int) -> Results:
    """Measures the average precision of so many images, nearly all of whose boxes are found."""
    import torch

    from sihl_trainer.tasks.object_detection.metric import BoxesPrediction, BoxPrecision
    from sihl_trainer.tasks.object_detection.target import BoxesTarget

    metric, drawn = BoxPrecision(CATEGORIES), torch.Generator().manual_seed(0)
    clock = of_cores(threads)
    began = clock()
    for start in range(0, amount, AT_A_TIME):
        places = range(start, min(amount, start + AT_A_TIME))
        predictions, targets = [], []
        for _ in places:
            corners = torch.rand(CROWD, 2, generator=drawn) * 400
            boxes = torch.cat((corners, corners + 40), 1)
            kinds = torch.randint(CATEGORIES, (CROWD,), generator=drawn)
            shaken = boxes + torch.randn(boxes.shape, generator=drawn)
            scores = torch.rand(CROWD, generator=drawn)
            targets.append(BoxesTarget(boxes, kinds))
            predictions.append(BoxesPrediction(shaken, kinds, scores))
        metric.update(predictions, targets, places)
    assert metric.compute()["map50"] > 0.9
    return {MEASURED: clock() - began}


TRAPS: dict[str, Trap] = {
    "instances": Trap(
        "panoptic, {} instances at 1,024 px, batch 2", (2, 20),
        one_step(PANOPTIC, instances, "instances"),
    ),
    "boxes": Trap(
        "detection, {} boxes an image at 512 px, batch 4", (30, 300),
        one_step(MANY_BOXES, boxes, "boxes"),
    ),
    "categories": Trap(
        "detection, {} categories at 256 px, batch 4", (100, 1000),
        one_step(MANY_CATEGORIES, categories, "categories"),
    ),
    "classes": Trap(
        "semantic, {} classes at 512 px, batch 16", (15, 150),
        one_step(MANY_CLASSES, classes, "classes"),
    ),
    "measured": Trap(f"{{}} images of {CROWD} boxes each, measured", (500, 5000), measuring),
    "yaml": Trap("{} boxes in one YAML", (10_000, 100_000), reading("yaml")),
    "json": Trap("{} boxes in one JSON", (10_000, 100_000), reading("json")),
}  # fmt: skip
