"""Curves in a terminal: dots of braille, two by four a character, or stars where it has none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sihl_dashboard.cli.terminal import shown
from sihl_dashboard.records.measured import Floats, Integers

ROWS = 8
NARROWEST, WIDEST = 30, 400
_LABEL = 10
"""Characters for a value's label."""
_BRAILLE = 0x2800
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""By column and row within a character, as Unicode numbers them."""


@dataclass(frozen=True)
class Canvas:
    """How fine a chart is.

    Args:
        width: Characters, labels included.
        rows: Lines of the curve itself.
        braille: Whether the terminal has it.
    """

    width: int
    rows: int = ROWS
    braille: bool = True

    @property
    def _cells(self) -> int:
        return max(min(self.width, WIDEST), NARROWEST) - _LABEL - 2

    @property
    def columns(self) -> int:
        """Dots from left to right: as many buckets are worth asking for."""
        return self._cells * (2 if self.braille else 1)

    @property
    def height(self) -> int:
        """Dots from bottom to top."""
        return self.rows * (4 if self.braille else 1)


def chart(
    title: str,
    ends: tuple[float, float],
    column: Integers,
    low: Floats,
    high: Floats,
    canvas: Canvas,
) -> list[str]:
    """Lines of one curve's chart.

    Args:
        title: What is measured.
        ends: Steps at the chart's left and right end.
        column: Of each point, rising, of `canvas.columns`; a column without a point has none.
        low: The least value there, by point; NaN where there is no finite one: a gap.
        high: The greatest one.
        canvas: How fine it is.
    """  # fmt: skip
    finite = np.isfinite(low) & np.isfinite(high)
    if not finite.any():
        return [shown(title), f"{'':{_LABEL}}   no finite value"]
    least, most = float(low[finite].min()), float(high[finite].max())
    span = most / 2 - least / 2  # by halves: the whole may be beyond what a number holds
    middle = 0 if span else (canvas.height - 1) // 2

    def row(value: float) -> int:
        place = (value / 2 - least / 2) / span if span else 0.0
        return middle + round(place * (canvas.height - 1))

    dots = np.zeros((canvas.height, canvas.columns), bool)
    before: tuple[int, int, int] | None = None
    for at, lower, upper, is_known in zip(
        column.tolist(), low.tolist(), high.tolist(), finite.tolist(), strict=True
    ):
        if not is_known:
            before = None
            continue
        bottom, top = row(lower), row(upper)
        dots[bottom : top + 1, at] = True
        if before is not None:
            _join(dots, before, (at, bottom, top))
        before = (at, bottom, top)
    return _labelled(title, ends, (least, most), _drawn(dots, canvas))


def _join(dots: np.ndarray, before: tuple[int, int, int], here: tuple[int, int, int]) -> None:
    """A straight line from one point's middle to the next's."""
    (start, *first), (end, *last) = before, here
    path = np.linspace(sum(first) / 2, sum(last) / 2, end - start + 1)
    for column, (left, right) in enumerate(pairwise(path.tolist()), start):
        middle = (left + right) / 2
        for at, edge in ((column, left), (column + 1, right)):
            low, high = sorted((round(edge), round(middle)))
            dots[low : high + 1, at] = True


def _drawn(dots: np.ndarray, canvas: Canvas) -> list[str]:
    upright = dots[::-1]
    if not canvas.braille:
        return ["".join("*" if dot else " " for dot in row) for row in upright.tolist()]
    weights = np.array(_DOTS).T
    cells = upright.reshape(canvas.rows, 4, -1, 2)
    codes = (cells * weights[None, :, None, :]).sum((1, 3))
    return [
        "".join(chr(_BRAILLE + code) if code else " " for code in row) for row in codes.tolist()
    ]


def _labelled(
    title: str, ends: tuple[float, float], values: tuple[float, float], rows: Sequence[str]
) -> list[str]:
    labels = [""] * len(rows)
    labels[0], labels[-1] = _spelled(values[1]), _spelled(values[0])
    if values[0] == values[1]:
        labels = [""] * len(rows)
        labels[len(rows) // 2] = _spelled(values[0])
    lines = [f"{label:>{_LABEL}} |{row}".rstrip() for label, row in zip(labels, rows, strict=True)]
    first, last = (f"{end:.10g}" for end in ends)
    width = len(rows[0])
    axis = f"{first}{last:>{max(width - len(first), len(last) + 1)}}" if first != last else first
    return [shown(title), *lines, f"{'':{_LABEL}}  {axis}"]


def _spelled(value: float) -> str:
    text = f"{value:.4g}"
    return text if len(text) <= _LABEL else f"{value:.2g}"
