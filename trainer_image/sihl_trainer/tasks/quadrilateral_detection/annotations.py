"""Quadrilateral detection: a file that maps each image to its quadrilaterals.

    000.jpg: [{category: cat2, quad: [[x, y], [x, y], [x, y], [x, y]]}, ...]
    001.jpg: []       # no object
    002.jpg: null     # not annotated

Pixels from the image's top left corner, x to the right, y down; the corners in the order of the
outline, from any of them on and either way round. An outline may have a dent, but neither cross
nor touch itself, nor reach out of the image (as no box may). A `score` beside them is ignored.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from sihl_api.tasks import Task
from sihl_trainer.data.documents import Value
from sihl_trainer.tasks.annotations import (
    Annotations,
    Format,
    invalid,
    list_entries,
    outside,
    point,
    read_names,
    unknown_name,
)
from sihl_trainer.tasks.info import HeadInfo

if TYPE_CHECKING:
    from sihl_trainer.tasks.quadrilateral_detection.target import QuadrilateralsTarget

Corners: TypeAlias = "Sequence[tuple[float, float]]"
_QUAD = "[[x, y], [x, y], [x, y], [x, y]]"


class QuadrilateralAnnotations(Annotations):
    """The quadrilaterals of all images, one after the other in two arrays."""

    def __init__(
        self,
        file: str,
        spans: dict[str, tuple[int, int]],
        corners: np.ndarray,
        categories: np.ndarray,
    ) -> None:
        self._file = file
        self._spans = spans
        self._corners = corners  # float32 [M, 4, 2]
        self._categories = categories  # int64 [M]

    @property
    def names(self) -> Sequence[str]:
        """The images that are annotated, if only with no quadrilateral."""
        return list(self._spans)

    def target(self, name: str) -> QuadrilateralsTarget | None:
        """The image's quadrilaterals."""
        import torch

        from sihl_trainer.tasks.quadrilateral_detection.target import QuadrilateralsTarget

        if (span := self._spans.get(name)) is None:
            return None
        part = slice(*span)
        return QuadrilateralsTarget(
            torch.from_numpy(self._corners[part].copy()),
            torch.from_numpy(self._categories[part].copy()),
        )

    def fault(self, name: str, width: int, height: int) -> str | None:
        """The first quadrilateral that reaches out of its image."""
        corners = self._corners[slice(*self._spans.get(name, (0, 0)))]
        faulty = outside(corners, width, height)
        if not faulty.any():
            return None
        first = int(faulty.any(1).argmax())
        return (
            f'{self._file}, "{name}", quadrilateral {first + 1}: corner '
            f"{shown(corners[first][faulty[first]][0])} lies outside the image, which is {width} "
            f"pixels wide and {height} high: correct it, in pixels from the top left of the "
            "upright image"
        )


def read_info(fields: dict[str, Value], place: str) -> HeadInfo:
    """The categories, in the order of their indices."""
    return HeadInfo(Task.QUADRILATERAL_DETECTION, read_names(fields, "categories", place))


def read(path: Path, info: HeadInfo) -> QuadrilateralAnnotations:
    """The quadrilaterals in a file, clockwise.

    Raises:
        BadData: Malformed, a category that the metadata does not list, or an outline without area
            or that meets itself; names file, line, image and quadrilateral.
    """
    indices = {name: index for index, name in enumerate(info.categories)}
    spans: dict[str, tuple[int, int]] = {}
    numbers, categories = array("f"), array("q")
    for entry, items in list_entries(path, "quadrilaterals"):
        start = len(categories)
        for count, item in enumerate(items, start=1):
            quad = _quad(item)
            if isinstance(quad, str):
                raise invalid(path, entry, f"quadrilateral {count}: {quad}")
            corners, category = quad
            if category not in indices:
                text = unknown_name(category, info.categories)
                raise invalid(path, entry, f"quadrilateral {count}: {text}")
            for corner in corners:
                numbers.extend(corner)
            categories.append(indices[category])
        spans[entry.key] = (start, len(categories))
    return QuadrilateralAnnotations(
        path.name,
        spans,
        np.array(numbers, dtype=np.float32).reshape(-1, 4, 2),
        np.array(categories, dtype=np.int64),
    )


def fault_in(corners: Corners) -> str | None:
    """What keeps four corners from being the outline of an area; None: nothing."""
    a, b, c, d = corners
    for index, corner in enumerate(corners):
        if corner in corners[:index]:
            return f"corner {shown(corner)} is there twice: write four different ones"
    if not any((_turn(a, b, c), _turn(a, b, d), _turn(a, c, d), _turn(b, c, d))):
        return "all corners lie on one line: write the four around the object"
    if _meet(a, b, c, d) or _meet(b, c, d, a):
        return (
            f"the outline {', '.join(map(shown, corners))} crosses or touches itself: write the "
            "corners in the order of the outline, either way round"
        )
    return None


def shown(corner: Sequence[float] | np.ndarray) -> str:
    """A point as a file has it."""
    return "[" + ", ".join(f"{value:g}" for value in corner) + "]"


def _quad(item: Value) -> tuple[Corners, str] | str:
    """The corners, clockwise, and the category of an entry, or what is wrong with it."""
    fields = item if isinstance(item, dict) else {}
    quad, category = fields.get("quad"), fields.get("category")
    if not isinstance(quad, list) or not isinstance(category, str):
        return f"must be {{category: ..., quad: {_QUAD}}}"
    corners = [corner for corner in map(point, quad) if corner is not None]
    if len(quad) != 4 or len(corners) != 4:
        return f"quad must be four corners of two numbers: {_QUAD}"
    if fault := fault_in(corners):
        return fault
    a, b, c, d = corners
    clockwise = _turn(a, b, c) + _turn(a, c, d) > 0  # twice the area of the two triangles
    return corners if clockwise else corners[::-1], category


def _turn(a: Sequence[float], b: Sequence[float], c: Sequence[float]) -> float:
    """Twice the area of a triangle: positive where it is clockwise, 0 where it is a line."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _meet(a: Sequence[float], b: Sequence[float], c: Sequence[float], d: Sequence[float]) -> bool:
    """Whether two lines, from a to b and from c to d, have a point in common.

    All four are different, and do not lie on one line.
    """
    return _turn(a, b, c) * _turn(a, b, d) <= 0 and _turn(c, d, a) * _turn(c, d, b) <= 0


FORMAT = Format(read_info, read)
