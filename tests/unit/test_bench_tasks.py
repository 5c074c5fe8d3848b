"""The tasks' benchmark: what it plans, and how it tells what it measured."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sihl_api.tasks import Task
from tests.bench.tasks.__main__ import chosen, fault
from tests.bench.tasks.data import least_wrong
from tests.bench.tasks.pictures import MARGIN, STRIPS, distances, upright
from tests.bench.tasks.plans import PLANS
from tests.bench.tasks.rows import Row, append, best, markdown, read, steps_within, told
from tests.bench.tasks.tables import every_table


@pytest.mark.parametrize(
    ("seconds", "step", "steps"), [(600, 0.25, 2304), (6, 0.1, 57), (1, 30, 1)]
)
def test_planned_steps_end_before_the_time_does(seconds: float, step: float, steps: int) -> None:
    assert steps_within(seconds, step) == steps


def test_every_task_has_a_plan() -> None:
    assert {plan.task for plan in PLANS.values()} == set(Task)


def test_a_file_keeps_the_last_row_of_each_run(tmp_path: Path) -> None:
    file = tmp_path / "rows"
    assert read(file) == {}
    for value in (0.1, 0.9):
        append(file, Row("detection/ours", "ours", "map50", value, results={"map": value}))
    append(file, Row("detection/fcos", fault="out of memory"))
    rows = read(file)
    assert rows["detection/ours"].value == 0.9
    assert rows["detection/fcos"].value is None


def test_tables_show_what_is_there(tmp_path: Path) -> None:
    rows = {
        "detection/ours": Row("detection/ours", "ours", "map50", 0.951, 598.2, 2301, 1290.4),
        "detection/fcos": Row("detection/fcos", "torchvision FCOS", "map50", 0.9),
        "text/ours": Row("text/ours", "ours", "exact_match", 0.968),
    }
    (line,) = [line for line in every_table(rows).splitlines() if "object detection" in line]
    assert line == (
        "| object detection | detection | AP@50 | 0.951 | 0.950 |  | 0.900 (torchvision FCOS) "
        "| 598 | 2,301 | 1,290 |"
    )
    assert "| text recognition | text, 10,000 | exact match | 0.968 |" in every_table(rows)
    assert every_table({}) == ""


def test_a_failed_run_says_so_in_its_table() -> None:
    assert told(Row("text/ours", fault="BadData: no tokens")) == "failed: BadData: no tokens"
    assert fault("Traceback\n  a | b\n\n", 1) == "  a / b"
    assert fault("", -9) == "exit code -9"


def test_the_best_of_errors_is_the_least() -> None:
    rows = [Row("a/x", value=2.0), Row("a/y", value=1.0), Row("a/z", fault="gone")]
    assert [found and found.run for found in (best(rows, True), best(rows, False))] == [
        "a/y",
        "a/x",
    ]
    assert best([], True) is None


def test_a_table_aligns_numbers_to_the_right() -> None:
    assert markdown(["a", "b", "c"], [["1", "2", "3"]]).splitlines()[1:] == [
        "| :-- | :-- | --: |",
        "| 1 | 2 | 3 |",
    ]


def test_runs_are_chosen_by_task_and_by_whose_they_are() -> None:
    assert chosen(["detection"], False, False) == [
        "detection/ours",
        "detection/trivial",
        "detection/fcos",
    ]
    assert chosen(["detection"], True, False) == ["detection/ours"]
    assert chosen(["size/json"], False, True) == []
    assert chosen(["splits/svc"], True, False) == []
    with pytest.raises(SystemExit):
        chosen(["detektion"], False, False)


def test_depth_is_unknown_where_no_disparity_is() -> None:
    assert distances(np.array([[30.0, np.nan, np.inf, 0.1]])).tolist() == [[3144, 0, 0, 0]]


def test_strips_of_a_picture_share_no_column_and_lie_in_it() -> None:
    strips = upright(741, STRIPS, MARGIN)
    assert len(strips) == STRIPS
    assert {strip.stop - strip.start for strip in strips} == {98}
    assert all(b.start - a.stop == MARGIN for a, b in itertools.pairwise(strips))
    assert (strips[0].start, strips[-1].stop) == (0, 740)


def test_a_table_by_seed_tells_the_mean_and_how_far_values_scatter() -> None:
    rows = {f"splits/ours/{n}": Row(f"splits/ours/{n}", "ours", value=v) for n, v in
            enumerate((0.98, 0.99, 1.0))}  # fmt: skip
    *_, line = every_table(rows).splitlines()
    assert line == "| ours | 0.980 | 0.990 | 1 |  |  | 0.990 | 0.010 |"


def test_what_is_least_wrong_is_the_median_that_counts_near_depths_more() -> None:
    depths = np.random.default_rng(0).uniform(1, 5, (99, 3))
    depths[::4, 1] = 0
    depths[:, 2] = 0
    found = least_wrong(depths)

    def wrong(column: int, depth: float) -> float:
        known = depths[depths[:, column] > 0, column]
        return float((np.abs(known - depth) / known).mean())

    for column in (0, 1):
        assert wrong(column, found[column]) <= min(wrong(column, d) for d in np.linspace(1, 5, 400))
    assert found[2] == 0


def test_what_starts_the_runs_loads_no_torch() -> None:
    # A process's peak memory counts what it was forked from.
    code = "import sys, tests.bench.tasks.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
