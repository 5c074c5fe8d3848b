"""Object detection: a file that maps each image to its boxes.

    000.jpg: [{category: cat2, bbox: [xmin, ymin, xmax, ymax]}, ...]
    001.jpg: []       # no object
    002.jpg: null     # not annotated

Pixels from the image's top left corner, x to the right, y down.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sihl_api.tasks import Task
from sihl_trainer.data.documents import Value, number
from sihl_trainer.tasks.annotations import (
    Annotations,
    Format,
    invalid,
    list_entries,
    outside,
    read_names,
    unknown_name,
)
from sihl_trainer.tasks.info import HeadInfo

if TYPE_CHECKING:
    from sihl_trainer.tasks.object_detection.target import BoxesTarget

_CORNERS = "[xmin, ymin, xmax, ymax]"


class BoxAnnotations(Annotations):
    """The boxes of all images, one after the other in two arrays.

    A tensor for each image would take more memory than the boxes, in each loader process.
    """

    def __init__(
        self,
        file: str,
        spans: dict[str, tuple[int, int]],
        boxes: np.ndarray,
        categories: np.ndarray,
    ) -> None:
        self._file = file
        self._spans = spans
        self._boxes = boxes  # float32 [M, 4]
        self._categories = categories  # int64 [M]

    @property
    def names(self) -> Sequence[str]:
        """The images that are annotated, if only with no box."""
        return list(self._spans)

    def target(self, name: str) -> BoxesTarget | None:
        """The image's boxes."""
        import torch

        from sihl_trainer.tasks.object_detection.target import BoxesTarget

        if (span := self._spans.get(name)) is None:
            return None
        part = slice(*span)
        return BoxesTarget(
            torch.from_numpy(self._boxes[part].copy()),
            torch.from_numpy(self._categories[part].copy()),
        )

    def fault(self, name: str, width: int, height: int) -> str | None:
        """The first box that reaches out of its image."""
        boxes = self._boxes[slice(*self._spans.get(name, (0, 0)))]
        faulty = outside(boxes.reshape(-1, 2, 2), width, height).any(1)
        if not faulty.any():
            return None
        first = int(faulty.argmax())
        return (
            f'{self._file}, "{name}", box {first + 1}: {_shown(boxes[first])} lies outside the '
            f"image, which is {width} pixels wide and {height} high: correct the box, in pixels "
            "from the top left of the upright image"
        )


def read_info(fields: dict[str, Value], place: str) -> HeadInfo:
    """The categories, in the order of their indices."""
    return HeadInfo(Task.OBJECT_DETECTION, read_names(fields, "categories", place))


def read(path: Path, info: HeadInfo) -> BoxAnnotations:
    """The boxes in a file.

    Raises:
        BadData: Malformed, a category that the metadata does not list, or a box without area;
            names file, line, image and box.
    """
    indices = {name: index for index, name in enumerate(info.categories)}
    spans: dict[str, tuple[int, int]] = {}
    numbers, categories = array("f"), array("q")
    for entry, items in list_entries(path, "boxes"):
        start = len(categories)
        for count, item in enumerate(items, start=1):
            box = _box(item)
            if isinstance(box, str):
                raise invalid(path, entry, f"box {count}: {box}")
            corners, category = box
            if category not in indices:
                text = unknown_name(category, info.categories)
                raise invalid(path, entry, f"box {count}: {text}")
            numbers.extend(corners)
            categories.append(indices[category])
        spans[entry.key] = (start, len(categories))
    return BoxAnnotations(
        path.name,
        spans,
        np.array(numbers, dtype=np.float32).reshape(-1, 4),
        np.array(categories, dtype=np.int64),
    )


def _box(item: Value) -> tuple[list[float], str] | str:
    """The four numbers and the category of an entry, or what is wrong with it."""
    fields = item if isinstance(item, dict) else {}
    corners, category = fields.get("bbox"), fields.get("category")
    if not isinstance(corners, list) or len(corners) != 4 or not isinstance(category, str):
        return f"must be {{category: ..., bbox: {_CORNERS}}}"
    box = [value for value in map(number, corners) if value is not None]
    if len(box) < 4:
        return f"bbox [{', '.join(map(str, corners))}] must be four numbers: {_CORNERS}"
    xmin, ymin, xmax, ymax = box
    if xmax <= xmin:
        return f"xmax {xmax:g} must be greater than xmin {xmin:g}: bbox is {_CORNERS}"
    if ymax <= ymin:
        return f"ymax {ymax:g} must be greater than ymin {ymin:g}: bbox is {_CORNERS}"
    return box, category


def _shown(box: np.ndarray) -> str:
    return "[" + ", ".join(f"{value:g}" for value in box) + "]"


FORMAT = Format(read_info, read)
