"""Grey scenes of digits that stand upright and apart, with their boxes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from examples.scenes.files import write_annotations, write_image
from examples.scenes.source import DIGITS, Digits, Order, enlarged, picked

COUNTS = ("one", "two", "three", "four", "five")
INK = 64  # of 255: fainter than this is not part of a digit's box


def detection(order: Order) -> dict[str, object]:
    """Scenes of one to five digits with their boxes."""
    boxes = _write_scenes(order)
    write_annotations(order.folder / "annotations.yaml", boxes)
    return {
        "task": "object detection",
        "categories": list(DIGITS),
        "annotations": "annotations.yaml",
    }


def multitask(order: Order) -> dict[str, object]:
    """The same scenes with how many digits there are as a second annotation."""
    boxes = _write_scenes(order)
    counts = {name: COUNTS[len(objects) - 1] for name, objects in boxes.items()}
    write_annotations(order.folder / "boxes.yaml", boxes)
    write_annotations(order.folder / "count.yaml", counts)
    return {
        "tasks": {
            "boxes": {
                "task": "object detection",
                "categories": list(DIGITS),
                "annotations": "boxes.yaml",
            },
            "count": {
                "task": "multiclass classification",
                "categories": list(COUNTS),
                "annotations": "count.yaml",
            },
        }
    }


def _write_scenes(order: Order) -> dict[str, list[dict[str, object]]]:
    rng = order.rng()
    picks = picked(len(order.digits.images), order.total * len(COUNTS), rng)
    boxes = {}
    for name in order.names():
        scene, boxes[name] = _scene(order.digits, picks, order.size, rng)
        write_image(order.folder, name, scene)
    return boxes


def _scene(
    digits: Digits, picks: Iterator[int], size: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[dict[str, object]]]:
    """Noise with one to five digits that do not touch; each one's entry, with its ink's box."""
    scene = rng.integers(0, 70, (size, size)).astype(np.uint8)
    taken = np.zeros((size, size), bool)
    objects: list[dict[str, object]] = []
    for _ in range(int(rng.integers(1, len(COUNTS) + 1))):
        pick = next(picks)
        side = int(rng.integers(size // 5, size // 3 + 1))
        digit = enlarged(digits.images[pick], side)
        place = _free_place(taken, side, rng)
        if place is None:
            continue  # the first always finds one, so no scene is empty
        top, left = place
        area = (slice(top, top + side), slice(left, left + side))
        scene[area] = np.maximum(scene[area], digit)
        taken[area] = True
        rows, columns = np.nonzero(digit >= INK)
        corners = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        offset = (left, top, left, top)
        bbox = [int(a + b) for a, b in zip(corners, offset, strict=True)]
        objects.append({"category": DIGITS[digits.labels[pick]], "bbox": bbox})
    return scene, objects


def _free_place(taken: np.ndarray, side: int, rng: np.random.Generator) -> tuple[int, int] | None:
    for _ in range(50):
        top, left = (int(value) for value in rng.integers(0, len(taken) - side + 1, 2))
        if not taken[top : top + side, left : left + side].any():
            return top, left
    return None
