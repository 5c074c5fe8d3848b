"""Curves in a terminal, the points around a step, and what `@latest` means."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sihl_dashboard.cli.errors import CommandError
from sihl_dashboard.cli.jobs import Job
from sihl_dashboard.cli.latest import latest_job
from sihl_dashboard.cli.measures import around, to_plot
from sihl_dashboard.cli.plot import ROWS, Canvas, chart
from tests.support.recorded import SPEC, recorded, train, validation
from tests.unit.test_kubectl_lines import told
from tests.unit.test_kubectl_records import typed

BROKEN = (math.nan, math.inf, -math.inf)
VALUES = st.lists(st.floats(-1e9, 1e9) | st.floats(), max_size=60)


def drawn(values: list[float], canvas: Canvas, title: str = "loss") -> list[str]:
    """A chart with a point in each of the first columns."""
    points = np.array(values, np.float64)
    return chart(title, (1, 100), np.arange(len(values)), points, points, canvas)


@pytest.mark.parametrize(
    ("values", "braille", "rows"),
    [
        ([0.0, 7.0], False, ["7 | *", "| *", "| *", "|**", "|*", "|*", "|*", "0 |*"]),
        ([2.0, 2.0, 2.0], False, ["|", "|", "|", "|", "2 |***", "|", "|", "|"]),
        ([0.0, 31.0], True, ["31 |⢸", "|⢸", "|⢸", "|⣸", "|⡇", "|⡇", "|⡇", "0 |⡇"]),
        ([1.0, math.nan, 1.0], False, ["|", "|", "|", "|", "1 |* *", "|", "|", "|"]),
    ],
)
def test_a_curve_is_drawn_from_its_least_value_to_its_greatest_with_gaps_left_open(
    values: list[float], braille: bool, rows: list[str]
) -> None:
    title, *lines, axis = drawn(values, Canvas(60, braille=braille))
    assert title == "loss"
    assert [line.strip() for line in lines] == rows
    assert axis.split() == ["1", "100"]


@given(values=VALUES, width=st.integers(-5, 1000), braille=st.booleans())
def test_any_values_make_lines_no_wider_than_the_terminal(
    values: list[float], width: int, braille: bool
) -> None:
    canvas = Canvas(width, braille=braille)
    lines = drawn(values[: canvas.columns], canvas)
    assert len(lines) in (2, ROWS + 2)
    assert all(len(line) <= max(width, 30) for line in lines)
    assert all(line.isprintable() for line in lines)


def test_where_there_is_no_finite_value_the_chart_says_so() -> None:
    assert drawn(list(BROKEN), Canvas(60)) == ["loss", f"{'':13}no finite value"]


def test_metrics_that_are_better_high_or_low_are_plotted_first_then_losses() -> None:
    better = {"better": "higher"}
    names = ["train/boxes/loss", "train/loss", "validation/a/x", "validation/b/map"]
    found = to_plot({name: better if name.endswith("map") else {} for name in names})
    assert found[:2] == ["validation/b/map", "train/loss"]


def test_around_a_step_each_metric_has_its_own_nearest_points() -> None:
    points: list[dict[str, Any]] = [
        {"step": step, "values": {"loss": 1.0} if step % 50 else {"loss": 1.0, "map": 0.5}}
        for step in range(10, 210, 10)
    ]
    near = around(points, 104)
    assert [point["step"] for point in near if "loss" in point["values"]] == [80, 90, 100, 110, 120]
    assert [point["step"] for point in near if "map" in point["values"]] == [50, 100, 150, 200]


# --- @latest ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [("@latest", "runs"), ("cells@latest", "runs"), ("dots@latest", "new")],
)
def test_latest_is_the_job_submitted_last_of_those_that_run_if_any_does(
    name: str, meant: str
) -> None:
    jobs = [
        told("old", "Running", created="2027-01-15T08:00:00Z"),
        told("runs", "Starting", created="2027-01-15T09:00:00Z"),
        told("waits", created="2027-01-15T10:00:00Z"),
        told("newer", "Failed", created="2027-01-15T11:00:00Z", project="dots"),
        told("new", created="2027-01-15T11:00:01Z", project="dots"),
    ]
    assert latest_job(name, jobs, "team").name == meant


@pytest.mark.parametrize("jobs", [[], [told("a")]])
def test_latest_of_nothing_names_where_it_was_looked_for(jobs: list[Job]) -> None:
    with pytest.raises(CommandError, match="no training job in project dots of namespace team"):
        latest_job("dots@latest", jobs, "team")


# --- of a record -----------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Records of two jobs, `day` the later one."""
    for name, created in (("night", "2026-01-02T03:00:00Z"), ("day", "2026-01-03T03:00:00Z")):
        record = recorded(tmp_path / "record", name, uid=f"{name}0123456789")
        record.job(SPEC, created_at=created)
        steps = [train(step, 100 / step) for step in range(1, 101)]
        record.metrics(1, 0, *steps[:50], validation(50, 0.5), *steps[50:], validation(100, 0.7))
    return tmp_path / "record"


@pytest.fixture
def sihl(root: Path, tmp_path: Path) -> Any:
    """Types a command about the records in the folder."""
    environ = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    return lambda *words: typed(*words, "--record", str(root), environ=environ)


def test_latest_names_a_record_wherever_a_job_is_named(sihl: Any) -> None:
    found = json.loads(sihl("metrics", "@latest", "--json")[1])
    assert found["record"] == "day.day01234"
    assert sihl("list", "@latest", "-o", "name")[1] == "day\n"
    assert re.search(r"RESULT +day +night\n", sihl("compare", "@latest", "night")[1])
    assert "project dots of namespace team-a" in sihl("logs", "dots@latest")[2]


def test_a_job_s_curves_are_drawn_one_below_the_other(sihl: Any) -> None:
    code, out, err = sihl("metrics", "night", "--plot")
    assert (code, err) == (0, "")
    charts = out.split("\n\n")
    assert [each.splitlines()[0] for each in charts] == [
        "train/loss, last 1", "validation/boxes/map, last 0.7",
    ]  # fmt: skip
    assert all(re.search(r"^ +1 +100$", each, re.MULTILINE) for each in charts)
    one = sihl("metrics", "night", "--plot", "--metric", "validation/boxes/map")[1]
    assert one.startswith("validation/boxes/map, last 0.7\n       0.7 |")


def test_the_points_around_a_step_are_told_as_table_csv_and_json(sihl: Any) -> None:
    words = ("metrics", "night", "--around", "60", "--metric", "validation/boxes/map")
    rows = [re.split(r" {3,}", line) for line in sihl(*words)[1].splitlines()]
    assert rows[1] == ["validation/boxes/map", "0.5 at 50", "0.7 at 100"]
    assert [line.split(",")[0] for line in sihl(*words, "--csv")[1].splitlines()] == [
        "step", "50", "100",
    ]  # fmt: skip
    assert [each["step"] for each in json.loads(sihl(*words, "--json")[1])["points"]] == [50, 100]
    assert sihl(*words, "--plot")[0] == 2
