"""Scenes of up to five turned digits, annotated for one task or for several at once."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from examples.scenes.compose import Layout, Scene, scene
from examples.scenes.files import write_annotations, write_image, write_pages
from examples.scenes.glyphs import KEYPOINTS, Drawn
from examples.scenes.source import ANNOTATION, DIGITS, Options, Order

BACKGROUND = "background"
COUNTS = ("none", "one", "two", "three", "four", "five")
COLORS = {
    name: [round(255 * part) for part in colorsys.hsv_to_rgb(number / len(DIGITS), 1, 1)]
    for number, name in enumerate(DIGITS)
}
GROUND_COLORS = {BACKGROUND: [90, 90, 90], **COLORS}
ONE_BYTE, TWO_BYTES = 1 << 8, 1 << 16
ACROSS = 0.3  # of the digits may lie across the border where keypoints alone are asked for


@dataclass(frozen=True)
class FileSet:
    """Annotations in one file: what its metadata says, and an image's entry."""

    metadata: dict[str, object]
    entry: Callable[[Scene, np.random.Generator], object]


@dataclass(frozen=True)
class FolderSet:
    """Annotations in a folder: what its metadata says, and how an image's map is written.

    The map's path has no suffix yet.
    """

    metadata: dict[str, object]
    write: Callable[[Path, Scene, Options, np.random.Generator], None]


# --- entries of files ------------------------------------------------------------------------


def labels(scene: Scene, _: np.random.Generator) -> list[str]:
    """Which digits are there."""
    return [DIGITS[label] for label in sorted({digit.label for digit in scene.digits})]


def count(scene: Scene, _: np.random.Generator) -> str:
    """How many digits there are."""
    return COUNTS[len(scene.digits)]


def boxes(scene: Scene, _: np.random.Generator) -> list[dict[str, object]]:
    """The tightest box of what is seen of each digit."""
    ids = scene.ids
    found: list[dict[str, object]] = []
    for number, digit in enumerate(scene.digits, start=1):
        rows, columns = np.nonzero(ids == number)
        corners = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        found.append({"category": DIGITS[digit.label], "bbox": [int(each) for each in corners]})
    return found


def quads(scene: Scene, rng: np.random.Generator) -> list[dict[str, object]]:
    """The turned box of each whole digit: from any corner on, either way round."""
    found: list[dict[str, object]] = []
    for digit in scene.digits:
        corners = np.roll(digit.quad, int(rng.integers(4)), axis=0)[:: rng.choice((1, -1))]
        height, width = digit.coverage.shape
        inside = np.clip(corners.round(2), 0, (width, height))
        found.append({"category": DIGITS[digit.label], "quad": inside.tolist()})
    return found


def keypoints(scene: Scene, _: np.random.Generator) -> list[dict[str, object]]:
    """The four ends of each turned digit's ink; null where hidden or outside."""
    ids = scene.ids
    found: list[dict[str, object]] = []
    for number, digit in enumerate(scene.digits, start=1):
        points = {
            name: point.round(2).tolist() if _seen(ids, number, point) else None
            for name, point in zip(KEYPOINTS, digit.keypoints, strict=True)
        }
        found.append(points)
    return found


def _seen(ids: np.ndarray, number: int, point: np.ndarray) -> bool:
    """Whether a digit's point is in the image with nothing in front of it."""
    column, row = (int(each) for each in np.floor(point))
    inside = 0 <= row < ids.shape[0] and 0 <= column < ids.shape[1]
    return inside and bool(ids[row, column] <= number)


# --- maps ------------------------------------------------------------------------------------


def semantic(path: Path, scene: Scene, options: Options, _: np.random.Generator) -> None:
    """One RGB picture, a pixel its category's color."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(_categories(scene, options)).save(path.with_suffix(".png"))


def instance(path: Path, scene: Scene, options: Options, rng: np.random.Generator) -> None:
    """A page a digit, in any order, in its category's color; one black page where there is none."""
    ids = _small(scene.ids, options)
    pages = [
        (ids == number)[..., None] * np.array(COLORS[DIGITS[digit.label]], np.uint8)
        for number, digit in enumerate(scene.digits, start=1)
        if (ids == number).any()
    ]
    empty = np.zeros((*ids.shape, 3), np.uint8)
    order = rng.permutation(len(pages))
    write_pages(path.with_suffix(".tiff"), [pages[each] for each in order] or [empty])


def panoptic(path: Path, scene: Scene, options: Options, rng: np.random.Generator) -> None:
    """A page of categories and a page of ids, which are any numbers of one or two bytes."""
    ids = _small(scene.ids, options)
    kind, limit = (np.uint8, ONE_BYTE) if rng.random() < 0.5 else (np.uint16, TWO_BYTES)
    names = rng.choice(limit, len(scene.digits) + 1, replace=False).astype(kind)
    pages = [_categories(scene, options), names[ids]]
    write_pages(path.with_suffix(".tiff"), pages, options.channels_first)


def _categories(scene: Scene, options: Options) -> np.ndarray:
    """Each pixel's category's color, uint8 [h, w, 3]; black around digits if so wished."""
    order = (BACKGROUND, *(DIGITS[digit.label] for digit in scene.digits))
    colors = np.array([GROUND_COLORS[name] for name in order], np.uint8)[scene.ids]
    if options.rim:
        colors[_rims(scene.digits, scene.ids, options.rim)] = 0
    return _small(colors, options)


def _rims(digits: Sequence[Drawn], ids: np.ndarray, width: int) -> np.ndarray:
    """The ground that is at most so many pixels from a digit: bool [H, W]."""
    if not digits:
        return np.zeros_like(ids, bool)
    near = Image.fromarray((ids > 0).astype(np.uint8)).filter(ImageFilter.MaxFilter(2 * width + 1))
    return np.asarray((np.asarray(near) > 0) & (ids == 0))


def _small(full: np.ndarray, options: Options) -> np.ndarray:
    """Every n-th pixel of every n-th row."""
    step = options.shrink
    return full[step // 2 :: step, step // 2 :: step]


# --- datasets --------------------------------------------------------------------------------

CATEGORIES = {"categories": list(DIGITS)}
SETS: dict[str, FileSet | FolderSet] = {
    "labels": FileSet({"task": "multilabel classification", "labels": list(DIGITS)}, labels),
    "count": FileSet({"task": "multiclass classification", "categories": list(COUNTS)}, count),
    "boxes": FileSet({"task": "object detection", **CATEGORIES}, boxes),
    "quads": FileSet({"task": "quadrilateral detection", **CATEGORIES}, quads),
    "keypoints": FileSet({"task": "keypoint detection", "keypoints": list(KEYPOINTS)}, keypoints),
    "semantic": FolderSet(
        {
            "task": "semantic segmentation",
            "categories": [BACKGROUND, *DIGITS],
            "colors": GROUND_COLORS,
        },
        semantic,
    ),
    "instance": FolderSet(
        {"task": "instance segmentation", **CATEGORIES, "colors": COLORS}, instance
    ),
    "panoptic": FolderSet(
        {
            "task": "panoptic segmentation",
            "categories": [BACKGROUND, *DIGITS],
            "colors": GROUND_COLORS,
            "stuff": [BACKGROUND],  # its region is one segment an image
        },
        panoptic,
    ),
}
"""How scenes can be annotated, by the set's name in a multitask dataset."""


def _write(order: Order, sets: Sequence[str], layout: Layout) -> dict[str, dict[str, object]]:
    """Write the images and the sets, each under its name; returns each set's metadata."""
    entries: dict[str, dict[str, object]] = {
        title: {} for title in sets if isinstance(SETS[title], FileSet)
    }
    for index, name in enumerate(order.names()):
        composed = scene(order, index, layout)
        write_image(order.folder, name, composed.image)
        for title in sets:
            kind, rng = SETS[title], order.rng(ANNOTATION, index, list(SETS).index(title))
            if isinstance(kind, FileSet):
                entries[title][name] = kind.entry(composed, rng)
            else:
                kind.write(order.folder / title / name, composed, order.options, rng)
    for title, lines in entries.items():
        write_annotations(order.folder / f"{title}.yaml", lines)
    return {
        title: {
            **deepcopy(SETS[title].metadata),  # YAML would refer from one set to another
            "annotations": f"{title}.yaml" if title in entries else title,
        }
        for title in sets
    }


def _one(title: str, order: Order, layout: Layout | None = None) -> dict[str, object]:
    return _write(order, (title,), layout or Layout())[title]


multilabel = partial(_one, "labels")
keypoint_detection = partial(_one, "keypoints", layout=Layout(outside=ACROSS))
quadrilaterals = partial(_one, "quads")
semantic_segmentation = partial(_one, "semantic")
instance_segmentation = partial(_one, "instance")
panoptic_segmentation = partial(_one, "panoptic")


def everything(order: Order) -> dict[str, object]:
    """Scenes with six sets of annotations."""
    sets = ("panoptic", "boxes", "keypoints", "quads", "count", "labels")
    return {"tasks": _write(order, sets, Layout())}
