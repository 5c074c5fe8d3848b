"""Quadrilateral detection: a file that maps each image to its quadrilaterals.

    000.jpg: [{category: cat2, quad: [[x, y], [x, y], [x, y], [x, y]]}, ...]
    001.jpg: []       # no object
    002.jpg: null     # not annotated

Pixels from the image's top left corner, x to the right, y down; the corners in the order of the
outline, from any of them on and either way round. An outline may have a dent, but neither cross
nor touch itself, nor reach out of the image (as no box may). A `score` beside them is ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from sihl_api.tasks import Task
from sihl_trainer.data.documents import Value, quoted
from sihl_trainer.tasks.annotations import Format, fault_in_keys, outside, point
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.listed import read_names
from sihl_trainer.tasks.shapes import ShapeAnnotations, read_shapes, shown

if TYPE_CHECKING:
    from sihl_trainer.tasks.quadrilateral_detection.target import QuadrilateralsTarget

Corners: TypeAlias = "Sequence[tuple[float, float]]"
_KEYS = ("category", "quad")
_QUAD = "[[x, y], [x, y], [x, y], [x, y]]"


class QuadrilateralAnnotations(ShapeAnnotations):
    """The quadrilaterals of all images, float32 [M, 4, 2]."""

    def target(self, name: str) -> QuadrilateralsTarget | None:
        """The image's quadrilaterals."""
        from sihl_trainer.tasks.quadrilateral_detection.target import QuadrilateralsTarget

        found = self.tensors(name)
        return None if found is None else QuadrilateralsTarget(*found)

    def fault(self, name: str, width: int, height: int) -> str | None:
        """The first quadrilateral that reaches out of its image."""
        corners = self.numbers(name)
        faulty = outside(corners, width, height)
        if not faulty.any():
            return None
        first = int(faulty.any(1).argmax())
        return (
            f'{self.file}, "{name}", quadrilateral {first + 1}: corner '
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
    words = "quadrilateral", "quadrilaterals"
    return QuadrilateralAnnotations(read_shapes(path, info, words, (4, 2), _quad))


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


def _quad(item: Value) -> tuple[list[float], str] | str:
    """The corners, clockwise, one after the other, and the category; or what is wrong with it."""
    fields = item if isinstance(item, dict) else {}
    quad, category = fields.get("quad"), fields.get("category")
    if fault := fault_in_keys(fields, _KEYS):
        return fault
    if "quad" not in fields or not isinstance(category, str):
        return f"must be {{category: ..., quad: {_QUAD}}}, and is {quoted(item)}"
    given = quad if isinstance(quad, list) else []
    corners = [corner for corner in map(point, given) if corner is not None]
    if len(given) != 4 or len(corners) != 4:
        is_closed = len(corners) == 5 and corners[0] == corners[4]
        closes = "; the last is the first again: leave it out" if is_closed else ""
        return f"quad {quoted(quad)} must be four corners of two numbers: {_QUAD}{closes}"
    if fault := fault_in(corners):
        return fault
    a, b, c, d = corners
    clockwise = _turn(a, b, c) + _turn(a, c, d) > 0  # twice the area of the two triangles
    return list(chain(*(corners if clockwise else corners[::-1]))), category


def _turn(a: Sequence[float], b: Sequence[float], c: Sequence[float]) -> float:
    """Twice the area of a triangle: positive where it is clockwise, 0 where it is a line."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _meet(a: Sequence[float], b: Sequence[float], c: Sequence[float], d: Sequence[float]) -> bool:
    """Whether two lines, from a to b and from c to d, have a point in common.

    All four are different, and do not lie on one line.
    """
    return _turn(a, b, c) * _turn(a, b, d) <= 0 and _turn(c, d, a) * _turn(c, d, b) <= 0


FORMAT = Format(read_info, read)
