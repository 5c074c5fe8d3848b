"""Curves of jobs, ready to be drawn: one grid for all, ghosts beside, and what it took."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sihl_dashboard.records.errors import QueryError, Trouble
from sihl_dashboard.records.grid import Grid, Sampled, sampled, smoothed
from sihl_dashboard.records.history import Course, Series
from sihl_dashboard.records.measured import Floats, Integers
from sihl_dashboard.records.refs import JobRef

Axis = Literal["step", "images", "time", "clock"]
"""`time` is seconds of learning, without waits and superseded work; `clock` seconds since 1970."""
MOST_BUCKETS = 20_000


@dataclass(frozen=True)
class View:
    """What to draw.

    Args:
        axis: What lies on x.
        buckets: How many the axis is divided into.
        first: Of the axis; by default where the first point lies.
        last: Likewise.
        smoothing: In the axis' unit, what age makes a point count 1/e; 0 smooths nothing.
        metrics: Names as "validation/boxes/map"; None is all.
        ghosts: Whether what was superseded is wanted too.
    """

    axis: Axis = "step"
    buckets: int = 500
    first: float | None = None
    last: float | None = None
    smoothing: float = 0.0
    metrics: Collection[str] | None = None
    ghosts: bool = True

    def __post_init__(self) -> None:
        if self.axis not in ("step", "images", "time", "clock"):
            raise QueryError("the axis is step, images, time or clock")
        if not 1 <= self.buckets <= MOST_BUCKETS:
            raise QueryError(f"buckets are 1 to {MOST_BUCKETS}")
        numbers = [each for each in (self.first, self.last, self.smoothing) if each is not None]
        if not np.isfinite(numbers).all():
            raise QueryError("the axis' ends and the smoothing are numbers")


@dataclass(frozen=True)
class Curve:
    """One metric of one job.

    Attributes:
        metric: As "validation/boxes/map".
        attempt: Of a ghost, whose it is; None for the curve that counts.
        clock: By bucket, when its last point was written: where to look in the log.
    """

    ref: JobRef
    metric: str
    attempt: int | None
    points: Sampled
    clock: Floats


@dataclass(frozen=True)
class Curves:
    """What to draw, and how much went into it.

    Attributes:
        points: How many lie within the grid, of curves and ghosts.
        buckets: How many of the grid's hold any.
        gaps: How many points are no finite number.
    """

    grid: Grid
    curves: list[Curve]
    ghosts: list[Curve]
    points: int
    buckets: int
    gaps: int
    troubles: tuple[Trouble, ...]


def drawn(
    courses: Mapping[JobRef, Course],
    batch_sizes: Mapping[JobRef, int],
    view: View,
    troubles: Sequence[Trouble] = (),
) -> Curves:
    """All that a view wants, on one grid.

    Args:
        courses: By job.
        batch_sizes: By job, images a step; jobs that lack it have no curve over images.
        view: What is wanted.
        troubles: What could not be read.
    """
    told = list(troubles)
    positions: dict[JobRef, Floats] = {}
    for ref, course in courses.items():
        if view.axis == "images" and ref not in batch_sizes:
            told.append(Trouble(ref.folder, "has no batch size, so no curve over images"))
            continue
        positions[ref] = _positions(course, view.axis, batch_sizes.get(ref, 1))
    wanted = {ref: _wanted(courses[ref], view.metrics) for ref in positions}
    grid = _grid(courses, positions, wanted, view)
    curves, ghosts = [], []
    for ref, x in positions.items():
        for series in wanted[ref]:
            curves.append(_curve(ref, courses[ref], series, x, grid, view, None))
            if view.ghosts:
                ghosts += _ghosts(ref, courses[ref], series, x, grid, view)
    shown = [each for each in (*curves, *ghosts) if len(each.points.bucket)]
    filled = {int(bucket) for each in shown for bucket in each.points.bucket}
    return Curves(
        grid,
        curves,
        [ghost for ghost in ghosts if len(ghost.points.bucket)],
        points=sum(int(each.points.points.sum()) for each in shown),
        buckets=len(filled),
        gaps=sum(int(each.points.gaps.sum()) for each in shown),
        troubles=tuple(told),
    )


def _positions(course: Course, axis: Axis, batch_size: int) -> Floats:
    match axis:
        case "step":
            return course.steps.astype(np.float64)
        case "images":
            return course.steps.astype(np.float64) * batch_size
        case "time":
            return course.learning
    # A clock that was set back, or is unknown, stands still until it has caught up.
    known = np.where(np.isnan(course.clock), -np.inf, course.clock)
    return np.maximum.accumulate(known) if len(known) else known


def _wanted(course: Course, metrics: Collection[str] | None) -> list[Series]:
    return [
        series
        for (kind, name), series in course.series.items()
        if metrics is None or f"{kind}/{name}" in metrics
    ]


def _grid(
    courses: Mapping[JobRef, Course],
    positions: Mapping[JobRef, Floats],
    wanted: Mapping[JobRef, list[Series]],
    view: View,
) -> Grid:
    """From the first point to the last one that counts: ghosts do not stretch it."""
    first, last = np.inf, -np.inf
    for ref, x in positions.items():
        for series in wanted[ref]:
            here = x[series.lines[courses[ref].current[series.lines]]]
            here = here[np.isfinite(here)]
            if len(here):
                first, last = min(first, here[0]), max(last, here[-1])
    if not first <= last:
        first = last = 0.0
    first = float(first if view.first is None else view.first)
    last = float(last if view.last is None else view.last)
    return Grid(first, last, view.buckets) if last > first else Grid(first, first, 1)


def _ghosts(
    ref: JobRef, course: Course, series: Series, x: Floats, grid: Grid, view: View
) -> list[Curve]:
    superseded = ~course.current[series.lines]
    if not superseded.any():
        return []
    gone = np.unique(course.attempts[series.lines[superseded]])
    return [_curve(ref, course, series, x, grid, view, int(attempt)) for attempt in gone]


def _curve(
    ref: JobRef,
    course: Course,
    series: Series,
    x: Floats,
    grid: Grid,
    view: View,
    attempt: int | None,
) -> Curve:
    current = course.current[series.lines]
    if attempt is not None:
        current = ~current & (course.attempts[series.lines] == attempt)
    lines: Integers = series.lines[current]
    at, values = x[lines], series.values[current]
    if attempt is not None:  # an attempt whose pod was made again may have gone back itself
        order = np.argsort(at, kind="stable")
        lines, at, values = lines[order], at[order], values[order]
    points = sampled(grid, at, smoothed(at, values, view.smoothing))
    last = np.searchsorted(at, points.x, side="right") - 1
    return Curve(ref, f"{series.kind}/{series.name}", attempt, points, course.clock[lines][last])
