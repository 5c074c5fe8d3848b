"""Curves: through attempts, on one grid, smoothed by distance, with gaps for what is no number."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sihl_dashboard.records.curves import View, drawn
from sihl_dashboard.records.errors import QueryError
from sihl_dashboard.records.grid import Grid, sampled, smoothed
from sihl_dashboard.records.history import Course, course, summarised
from sihl_dashboard.records.measured import Measured
from sihl_dashboard.records.refs import JobRef
from tests.support.recorded import train, validation

A, B = JobRef("team-a", "cells", "a.1"), JobRef("team-a", "cells", "b.2")


def measured(*lines: dict[str, Any] | bytes) -> Measured:
    found = Measured()
    for line in lines:
        found.add(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
    return found


def at(minute: int, second: int = 0) -> str:
    return f"2026-01-02T03:{minute:02d}:{second:02d}Z"


def losses(found: Course, current: bool = True) -> list[tuple[int, float]]:
    series = found.series["train", "loss"]
    counts = found.current[series.lines] == current
    return [
        (int(step), float(value))
        for step, value in zip(
            found.steps[series.lines[counts]], series.values[counts], strict=True
        )
    ]


# --- attempts ---------------------------------------------------------------------------------


def test_from_the_step_at_which_it_resumed_the_newer_attempt_counts() -> None:
    first = measured(*(train(step, 1.0) for step in (10, 20, 30)))
    second = measured(train(25, 2.0), train(35, 2.0))
    found = course({1: first, 2: second}, {1: None, 2: 20})
    assert losses(found) == [(10, 1.0), (20, 1.0), (25, 2.0), (35, 2.0)]
    assert losses(found, current=False) == [(30, 1.0)]


def test_an_attempt_that_began_from_the_start_supersedes_all_before_it() -> None:
    first, second = measured(train(10, 1.0), train(20, 1.0)), measured(train(15, 2.0))
    assert losses(course({1: first, 2: second}, {1: None, 2: None})) == [(15, 2.0)]


def test_an_attempt_that_measured_nothing_supersedes_nothing() -> None:
    found = course({1: measured(train(10, 1.0)), 2: Measured()}, {1: None, 2: None})
    assert losses(found) == [(10, 1.0)]


def test_without_a_summary_the_first_step_that_was_measured_tells_where_it_resumed() -> None:
    first, second = measured(train(10, 1.0), train(20, 1.0)), measured(train(15, 2.0))
    assert losses(course({1: first, 2: second}, {})) == [(10, 1.0), (15, 2.0)]


def test_an_attempt_whose_pod_was_made_again_supersedes_itself() -> None:
    again = measured(train(10, 1.0), train(20, 1.0), train(11, 2.0), train(21, 2.0))
    assert losses(course({1: again}, {1: None})) == [(10, 1.0), (11, 2.0), (21, 2.0)]


ATTEMPTS = st.dictionaries(st.integers(1, 5), st.lists(st.integers(0, 30), max_size=8), max_size=5)


@given(ATTEMPTS, st.dictionaries(st.integers(1, 5), st.none() | st.integers(0, 40)))
def test_whatever_a_record_says_the_steps_that_count_never_fall_and_the_newest_line_counts(
    attempts: dict[int, list[int]], resumed: dict[int, int | None]
) -> None:
    lines = {n: measured(*(train(step, 0.0) for step in steps)) for n, steps in attempts.items()}
    found = course(lines, resumed)
    assert (np.diff(found.steps[found.current]) >= 0).all()
    assert (np.diff(found.learning[found.current]) >= 0).all()
    assert not len(found.current) or found.current[-1]


def test_time_of_learning_has_neither_waits_nor_what_was_superseded() -> None:
    first = measured(train(10, 1, at(0)), train(20, 1, at(1)), train(30, 1, at(2)))
    second = measured(train(25, 1, at(40)), train(35, 1, at(42)))
    found = course({1: first, 2: second}, {1: None, 2: 20})
    assert found.learning[found.current].tolist() == [0, 60, 60, 180]


def test_a_clock_that_jumps_back_stands_still_and_is_told() -> None:
    lines = measured(train(1, 1, at(5)), train(2, 1, at(1)), train(3, 1, at(2)), train(4, 1, "?"))
    found = course({1: lines}, {})
    assert found.learning.tolist() == [0, 0, 60, 60]
    assert found.jumps == 1


def test_without_a_summary_one_is_made_of_what_counts_and_is_finite() -> None:
    lines = measured(*(train(step, v) for step, v in ((1, 3.0), (2, 1.0), (3, math.nan), (4, 1.0))))
    found = course({1: lines}, {})
    summary = summarised(found, found.series["train", "loss"])
    assert summary.min is not None and summary.max is not None and summary.last is not None
    assert [(p.step, p.value) for p in (summary.min, summary.max, summary.last)] == [
        (2, 1.0), (1, 3.0), (4, 1.0),
    ]  # fmt: skip


# --- lines ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [b"{", b"[1]", b"null", b'{"step": -1, "kind": "train", "values": {}}',
     b'{"step": 1, "kind": "other", "values": {}}',
     b'{"step": true, "kind": "train", "values": {}}',
     b'{"step": 1, "kind": "train", "values": {"a": "text"}}', b"\xff\xfe", b"[" * 100_000,
     b'{"step": 1, "kind": "train", "values": {"a": 1e3}', b'{"a": [', b"1" * 10_000,
     b'{"step": 1' + b"0" * 400 + b', "kind": "train", "values": {}}'],
)  # fmt: skip
def test_a_line_that_is_none_is_counted_and_costs_no_other(line: bytes) -> None:
    found = measured(train(1, 1.0), line + b"\n", train(2, 2.0))
    assert (found.unreadable, found.steps.tolist()) == (1, [1, 2])


def test_lines_that_would_be_json_only_together_are_none() -> None:
    assert measured(b'{"a": [\n]}\n{"b": 1}, {"c": 2}\n').unreadable == 3


def test_numbers_that_json_does_not_know_are_read_as_the_record_spells_them() -> None:
    text = b'{"time": "", "step": 1, "kind": "train", "values": {"a": "NaN", "b": "-Infinity"}}\n'
    found = measured(text)
    assert math.isnan(found.columns["train", "a"].values[0])
    assert found.columns["train", "b"].values[0] == -math.inf


def test_a_line_that_is_still_being_written_comes_with_the_next_look() -> None:
    found = measured(b'{"step": 1, "kind": "tr')
    assert (found.taken, found.unreadable) == (0, 0)
    found.add(b'{"step": 1, "kind": "train", "values": {"loss": 1}}\n')
    assert found.steps.tolist() == [1]


def test_more_metrics_than_a_model_can_have_are_left_out_and_told() -> None:
    line = {**train(1, 0), "values": {str(number): 1.0 for number in range(1500)}}
    found = measured(line)
    assert found.too_many
    assert len(found.columns) == 1000


# --- the grid ---------------------------------------------------------------------------------

VALUES = st.sampled_from([math.nan, math.inf, -math.inf]) | st.floats(-1e3, 1e3)
POINTS = st.lists(st.tuples(st.floats(-10, 110), VALUES), max_size=40).map(
    lambda found: sorted(found, key=lambda point: point[0])
)


@given(POINTS, st.integers(1, 12))
def test_each_bucket_has_min_max_and_last_of_its_finite_values_and_counts_all(
    points: list[tuple[float, float]], buckets: int
) -> None:
    grid = Grid(0, 100, buckets)
    found = sampled(grid, np.array([x for x, _ in points]), np.array([v for _, v in points]))
    expected: dict[int, list[tuple[float, float]]] = {}
    for x, value in points:
        if 0 <= x <= 100:
            bucket = min(int(x // (100 / buckets)), buckets - 1)
            expected.setdefault(bucket, []).append((x, value))
    assert found.bucket.tolist() == sorted(expected)
    for index, bucket in enumerate(found.bucket.tolist()):
        here = expected[bucket]
        finite = [value for _, value in here if math.isfinite(value)]
        shown = [found.min[index], found.max[index], found.last[index]]
        if finite:
            assert shown == [min(finite), max(finite), finite[-1]]
        else:
            assert np.isnan(shown).all()
        assert found.x[index] == here[-1][0]
        assert (found.points[index], found.gaps[index]) == (len(here), len(here) - len(finite))


@given(st.lists(st.tuples(st.floats(0, 5), VALUES), min_size=1, max_size=20), st.floats(0.01, 100))
def test_a_smoothed_value_is_the_mean_of_those_before_it_weighted_by_their_age(
    points: list[tuple[float, float]], constant: float
) -> None:
    x, values = np.cumsum([d for d, _ in points]), np.array([v for _, v in points])
    found = smoothed(x, values, constant)
    for index in range(len(x)):
        if not math.isfinite(values[index]):
            assert found[index] == values[index] or math.isnan(values[index])
            continue
        before = np.isfinite(values[: index + 1])
        weights = np.exp((x[: index + 1] - x[index]) / constant)[before]
        mean = np.average(values[: index + 1][before], weights=weights)
        assert found[index] == pytest.approx(mean, abs=1e-6)


def test_smoothing_means_the_same_however_dense_points_lie() -> None:
    dense, sparse = np.arange(0, 1000, 1.0), np.arange(0, 1000, 10.0)
    ends = [smoothed(x, x / 1000, constant=100)[-1] for x in (dense, sparse)]
    assert ends[0] == pytest.approx(ends[1], abs=0.01)


# --- views ------------------------------------------------------------------------------------


def ramp(steps: range, slope: float = 1.0) -> Course:
    return course({1: measured(*(train(step, slope * step) for step in steps))}, {})


def test_all_jobs_lie_on_one_grid_and_it_is_said_how_many_points_in_how_many_buckets() -> None:
    found = drawn({A: ramp(range(100)), B: ramp(range(50, 200))}, {}, View(buckets=10))
    assert (found.grid.first, found.grid.last, found.grid.buckets) == (0, 199, 10)
    assert (found.points, found.buckets, found.gaps) == (250, 10, 0)
    a, b = found.curves
    assert a.points.bucket.tolist() == [0, 1, 2, 3, 4]
    assert b.points.bucket.tolist() == [2, 3, 4, 5, 6, 7, 8, 9]
    assert a.points.max.tolist()[:2] == [19, 39]


def test_over_images_jobs_of_different_batch_sizes_can_be_compared() -> None:
    view = View(axis="images", buckets=1)
    found = drawn({A: ramp(range(11)), B: ramp(range(11))}, {A: 4}, view)
    assert [(curve.ref, curve.points.x.tolist()) for curve in found.curves] == [(A, [40])]
    assert [trouble.where for trouble in found.troubles] == [B.folder]


def test_a_zoom_samples_what_it_shows_after_smoothing_with_what_lies_before() -> None:
    view = View(first=90, last=99, buckets=10, smoothing=1000)
    found = drawn({A: ramp(range(100))}, {}, view)
    assert found.points == 10
    assert found.curves[0].points.last[0] < 60  # not the mean of the window alone


def test_what_was_superseded_is_a_ghost_on_the_same_grid_and_does_not_stretch_it() -> None:
    first = measured(*(train(step, 1.0) for step in (10, 20, 90)))
    second = measured(train(21, 2.0), train(30, 2.0))
    found = drawn({A: course({1: first, 2: second}, {1: None, 2: 20})}, {}, View(last=100))
    assert [(ghost.attempt, ghost.points.x.tolist()) for ghost in found.ghosts] == [(1, [90])]
    assert drawn({A: course({1: first, 2: second}, {1: None, 2: 20})}, {}, View()).grid.last == 30


def test_a_point_says_when_it_was_written() -> None:
    lines = measured(train(1, 1, at(0)), validation(1, 0.5, at(1)), train(2, 1, at(2)))
    found = drawn({A: course({1: lines}, {})}, {}, View(metrics=["validation/boxes/map"]))
    assert [curve.metric for curve in found.curves] == ["validation/boxes/map"]
    assert found.curves[0].clock.tolist() == [1767322860]


@pytest.mark.parametrize("axis", ["step", "images", "time", "clock"])
def test_a_job_without_any_line_is_an_answer_on_every_axis(axis: Any) -> None:
    found = drawn({A: course({}, {})}, {A: 4}, View(axis=axis))
    assert (found.curves, found.points) == ([], 0)


@pytest.mark.parametrize(
    "view", [{"axis": "colour"}, {"buckets": 0}, {"first": math.nan}, {"smoothing": math.inf}]
)
def test_a_view_that_can_be_none_is_refused(view: dict[str, Any]) -> None:
    with pytest.raises(QueryError):
        View(**view)
