"""One digit an image: what it is, how it is turned, or nothing said of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from examples.scenes.compose import Scene, a_color, a_ground, a_place
from examples.scenes.files import write_annotations, write_image
from examples.scenes.glyphs import drawn, glyph
from examples.scenes.source import DIGITS, LABELLED, SCENE, Digits, Order, enlarged, picked

TURN = 60  # degrees to either side, which `regression` asks for
KNOWN = range(7)  # the digits of metric learning's training images; the others are validation's
ANNOTATIONS = "annotations.yaml"


def classification(order: Order) -> dict[str, object]:
    """Which digit it is, of one that fills its grey image."""
    digits = order.digits
    picks = picked(len(digits.images), order.total, order.rng())
    annotations = {}
    for name, pick in zip(order.names(), picks, strict=True):
        write_image(order.folder, name, enlarged(digits.images[pick], order.size))
        annotations[name] = DIGITS[digits.labels[pick]]
    write_annotations(order.folder / ANNOTATIONS, annotations)
    return {
        "task": "multiclass classification",
        "categories": list(DIGITS),
        "annotations": ANNOTATIONS,
    }


def unlabelled(order: Order) -> None:
    """The images alone, each with a digit that is turned a little."""
    for name, scene in _scenes(order, order.digits, turn=15):
        write_image(order.folder, name, scene.image)


def metric_learning(order: Order) -> dict[str, object]:
    """Which digit it is; those of validation are never seen in training."""
    known = order.split == "train"
    labels = KNOWN if known else range(KNOWN.stop, len(DIGITS))
    identities = {}
    for name, scene in _scenes(order, order.digits.only(labels), turn=15):
        write_image(order.folder, name, scene.image)
        identities[name] = DIGITS[scene.digits[0].label]
    write_annotations(order.folder / ANNOTATIONS, identities)
    return {
        "task": "metric learning",
        "identities": [DIGITS[label] for label in labels],
        "annotations": ANNOTATIONS,
    }


def regression(order: Order) -> dict[str, object]:
    """By how many degrees a digit is turned, clockwise."""
    return _regression(order, np.ones(order.total, bool))


def partly(order: Order) -> dict[str, object]:
    """The same as `regression`, of which only a share of the training images is annotated."""
    labelled = np.ones(order.total, bool)
    if order.split == "train":
        share = round(order.total * order.options.labelled)
        labelled = order.rng(LABELLED, 0).permutation(order.total) < share
    return _regression(order, labelled)


def _regression(order: Order, labelled: np.ndarray) -> dict[str, object]:
    angles: dict[str, object] = {}
    for (name, scene), told in zip(_scenes(order, order.digits, TURN), labelled, strict=True):
        write_image(order.folder, name, scene.image)
        angles[name] = round(scene.digits[0].degrees, 1) if told else None
    write_annotations(order.folder / ANNOTATIONS, angles)
    return {"task": "regression", "range": [-TURN, TURN], "annotations": ANNOTATIONS}


def _scenes(order: Order, digits: Digits, turn: float) -> Iterator[tuple[str, Scene]]:
    picks = picked(len(digits.images), order.total, order.rng())
    shape = (order.size, order.size)
    for index, (name, pick) in enumerate(zip(order.names(), picks, strict=True)):
        rng = order.rng(SCENE, index)
        ground, color = a_ground(shape, rng), a_color(rng)
        upright = glyph(digits, pick, round(order.size * rng.uniform(0.8, 1)))
        degrees = float(rng.uniform(-turn, turn))
        place = a_place(upright, degrees, shape, False, rng)
        yield name, Scene(ground, (drawn(upright, degrees, place, color, shape),))
