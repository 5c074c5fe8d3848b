"""A job's attempts as one course: what counts, and what a later attempt superseded.

From the step at which an attempt resumed on, what earlier ones measured does not count: it is kept
as a ghost. An attempt that measured nothing supersedes nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sihl_api.record import JobSummary, MetricSummary, Point
from sihl_dashboard.records.measured import Floats, Integers, Measured, floats, integers

Mask = NDArray[np.bool_]
_NO_STEPS: Integers = np.empty(0, np.int64)
_NO_TIMES: Floats = np.empty(0, np.float64)


@dataclass(frozen=True)
class Series:
    """One metric through all attempts, in the order of writing.

    Attributes:
        kind: "train" or "validation".
        name: As `MetricLine.values` has it.
        lines: Which lines of the course have it.
        values: Theirs, finite or not.
    """

    kind: str
    name: str
    lines: Integers
    values: Floats


@dataclass(frozen=True)
class Course:
    """The lines of all attempts.

    Attributes:
        attempts: By line, which one wrote it.
        steps: By line.
        clock: By line, seconds since 1970; NaN where unknown.
        learning: By line, seconds since the first line, without waits between attempts and
            without what was superseded: as if the job had never been interrupted.
        current: By line, whether it counts; the steps of those that do never fall.
        series: By kind and name.
        jumps: How often a clock went back.
    """

    attempts: Integers
    steps: Integers
    clock: Floats
    learning: Floats
    current: Mask
    series: dict[tuple[str, str], Series]
    jumps: int


def course(measured: Mapping[int, Measured], resumed: Mapping[int, int | None]) -> Course:
    """One course of several attempts.

    Args:
        measured: By the attempt's number.
        resumed: By the attempt's number, the step it went on from, None where it began from the
            start. Of an attempt that is not in here, the first step that it measured is taken.
    """
    numbers = [number for number in sorted(measured) if len(measured[number].steps)]
    steps = np.concatenate([_NO_STEPS, *(integers(measured[n].steps) for n in numbers)])
    clock = np.concatenate([_NO_TIMES, *(floats(measured[n].times) for n in numbers)])
    attempts = np.repeat(np.array(numbers, np.int64), [len(measured[n].steps) for n in numbers])
    passed, jumps = _passed(clock)
    current, learning = _through(attempts, steps, passed, resumed)
    return Course(attempts, steps, clock, learning, current, _series(measured, numbers), jumps)


def _series(measured: Mapping[int, Measured], numbers: list[int]) -> dict[tuple[str, str], Series]:
    lines: dict[tuple[str, str], list[Integers]] = {}
    values: dict[tuple[str, str], list[Floats]] = {}
    before = 0
    for number in numbers:
        for key, column in measured[number].columns.items():
            lines.setdefault(key, []).append(integers(column.lines) + before)
            values.setdefault(key, []).append(floats(column.values))
        before += len(measured[number].steps)
    return {
        (kind, name): Series(
            kind,
            name,
            np.concatenate(lines[kind, name]),
            np.concatenate(values[kind, name]),
        )
        for kind, name in sorted(lines)
    }


def _passed(clock: Floats) -> tuple[Floats, int]:
    """Seconds since the line before; none where a clock went back or says nothing."""
    passed = np.diff(clock, prepend=clock[:1])
    return np.where(passed > 0, passed, 0.0), int(np.count_nonzero(passed < 0))


def _runs(attempts: Integers, steps: Integers) -> Iterator[tuple[int, int]]:
    """Where each run begins and ends. An attempt has several if its pod was made again."""
    new = (np.diff(attempts) != 0) | (np.diff(steps) < 0)
    starts = [0, *(np.flatnonzero(new) + 1).tolist(), len(steps)]
    yield from pairwise(starts)


def _through(
    attempts: Integers, steps: Integers, passed: Floats, resumed: Mapping[int, int | None]
) -> tuple[Mask, Floats]:
    runs = list(_runs(attempts, steps)) if len(steps) else []
    if len(runs) == 1:  # most jobs, and tens of thousands of lines
        return np.ones(len(steps), dtype=bool), _summed(passed)
    learning = np.zeros(len(steps))
    kept: list[int] = []  # lines that count so far; their steps never fall
    kept_steps: list[int] = []
    begun: set[int] = set()
    for start, end in runs:
        attempt, first = int(attempts[start]), int(steps[start])
        bound = first
        if attempt in resumed and attempt not in begun:
            at = resumed[attempt]
            bound = 0 if at is None else min(at + 1, first)
        begun.add(attempt)
        stands = bisect_left(kept_steps, bound)
        del kept[stands:], kept_steps[stands:]
        before = learning[kept[-1]] if kept else 0.0
        learning[start:end] = before + _summed(passed[start:end])
        kept.extend(range(start, end))
        kept_steps.extend(steps[start:end].tolist())
    current = np.zeros(len(steps), dtype=bool)
    current[kept] = True
    return current, learning


def _summed(passed: Floats) -> Floats:
    """Seconds since the first line."""
    within = passed.copy()
    within[:1] = 0.0
    return np.cumsum(within)


def with_metrics(summary: JobSummary, course: Course) -> JobSummary:
    """The summary of a record that has none, with what its lines tell of each metric."""
    found: dict[str, dict[str, MetricSummary]] = {"train": {}, "validation": {}}
    for (kind, name), series in course.series.items():
        found[kind][name] = summarised(course, series)
    return summary.model_copy(update=found)


def summarised(course: Course, series: Series) -> MetricSummary:
    """What became of a metric; which of its values is better only its summary knows.

    As the contract has it: only finite values that count, and of equal ones the first.
    """
    counts = course.current[series.lines] & np.isfinite(series.values)
    steps, values = course.steps[series.lines[counts]], series.values[counts]
    if not len(values):
        return MetricSummary()

    def point(index: int) -> Point:
        return Point(step=int(steps[index]), value=float(values[index]))

    return MetricSummary(
        last=point(-1), min=point(int(values.argmin())), max=point(int(values.argmax()))
    )
