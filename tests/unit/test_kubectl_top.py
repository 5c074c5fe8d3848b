"""`top`: what is on the screen, and what its keys do."""

from __future__ import annotations

import io
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sihl_dashboard.cli.errors import AwayError
from sihl_dashboard.cli.jobs import Job
from sihl_dashboard.cli.main import run
from sihl_dashboard.cli.polling import Poller
from sihl_dashboard.cli.screen import View, jobs_screen, log_screen, ordered, pressed
from tests.support.waiting import eventually
from tests.unit.test_kubectl_lines import HOSTILE, told, why

RUNNING = {
    "progress": {"step": 45, "maxSteps": 100, "percent": 45, "remaining": "12m3s",
                 "imagesPerSecond": 31.25},
    "metrics": {"boxes/map": "0.5"},
}  # fmt: skip


def jobs() -> list[Job]:
    """A queue of three, and two that have ended."""
    return [
        told("second", created="2027-01-15T08:00:00Z", status={"conditions": why("Queued", "2nd")}),
        told("runs", "Running", status=RUNNING),
        told("first", priority=5),
        told("old", "Failed", created="2027-01-14T08:00:00Z",
             status={"conditions": why("DatasetMalformed", "a.yaml: b")}),
        told("new", "Succeeded", created="2027-01-14T09:00:00Z"),
    ]  # fmt: skip


def screen(view: View | None = None, size: tuple[int, int] = (120, 20), **more: Any) -> list[Any]:
    """The screen with these jobs."""
    return jobs_screen(ordered(jobs()), view or View(), "team", more.pop("trouble", ""), size)


def test_queues_stand_in_order_with_what_each_job_does_and_the_ended_ones_last() -> None:
    title, header, *rows = [row.text for row in screen()]
    assert title.startswith("team   1 active, 2 waiting")
    assert title.endswith("enter log")
    assert header.split()[:4] == ["QUEUE", "POSITION", "NAME", "PHASE"]
    names = [row[header.index("NAME") :].split()[0] for row in rows]
    assert names == ["runs", "first", "second", "new", "old"]
    assert "[####......] 45%   12m3s   31.25      boxes/map 0.5" in rows[0]
    assert "Queued: 2nd" in rows[2]
    assert "DatasetMalformed: a.yaml: b" in rows[4]


def test_the_chosen_job_stays_chosen_while_others_move() -> None:
    lines = ordered(jobs())
    view = pressed(View(), "down", lines, 10)
    assert view.chosen == "uid-first"
    rows = jobs_screen(ordered([*jobs(), told("before", priority=9)]), view, "", "", (120, 20))
    assert [row.text.split()[2] for row in rows if row.style == "chosen"] == ["first"]


@pytest.mark.parametrize(
    ("keys", "chosen"),
    [
        ([], ""),
        (["up"], "uid-runs"),
        (["down", "down"], "uid-second"),
        (["end"], "uid-old"),
        (["pagedown", "up"], "uid-first"),
        (["end", "home"], "uid-runs"),
        (["down", "unknown"], "uid-first"),
    ],
)
def test_keys_move_the_choice_and_stay_within_the_list(keys: list[str], chosen: str) -> None:
    view = View()
    for key in keys:
        view = pressed(view, key, ordered(jobs()), 2)
    assert view == View(chosen)


def test_a_log_is_opened_scrolled_and_left_before_the_screen_is() -> None:
    lines = ordered(jobs())
    view = pressed(View(), "open", lines, 10)
    assert view == View("uid-runs", log=True)
    log = [f"line {number}" for number in range(100)]
    size = (40, 11)
    shown = [row.text for row in log_screen(lines[0][0], log, view, "", size)]
    assert shown[0].startswith("runs   Running: attempt 1")
    assert shown[1:] == log[90:]
    up = pressed(view, "up", lines, 10, 100)
    assert [row.text for row in log_screen(lines[0][0], log, up, "", size)][1:] == log[89:99]
    top = pressed(view, "home", lines, 10, 100)
    assert [row.text for row in log_screen(lines[0][0], log, top, "", size)][1:] == log[:10]
    assert pressed(pressed(top, "down", lines, 10, 100), "up", lines, 10, 100) == top
    left = pressed(up, "quit", lines, 10, 100)
    assert (left.log, left.is_over) == (False, False)
    assert pressed(left, "quit", lines, 10).is_over


def test_trouble_is_shown_beside_what_is_known() -> None:
    rows = screen(trouble="the cluster did not answer")
    assert rows[1].text == "the cluster did not answer"
    assert len(rows) == 3 + 5


@given(width=st.integers(0, 200), height=st.integers(1, 30), text=st.text(), log=st.booleans())
def test_whatever_jobs_are_called_the_screen_holds_printable_rows_that_fit(
    width: int, height: int, text: str, log: bool
) -> None:
    job = told(
        "night", "Running", status={"conditions": why(text, HOSTILE), "metrics": {text: text}}
    )
    if log:
        rows = log_screen(job, ["x" * 500, "a\tb"], View(), text, (width, height))
    else:
        rows = jobs_screen(ordered([job] * 50), View(), text, text, (width, height))
    assert 1 <= len(rows) <= height
    assert all(row.text.isprintable() and len(row.text) <= max(width, 1) for row in rows)


def test_what_was_answered_last_stays_while_there_is_trouble_and_is_renewed_after_it() -> None:
    answers: list[str | Exception] = ["one", AwayError("away"), ValueError("odd"), "two"]
    seen: list[tuple[str | None, str]] = []

    def ask() -> str:
        began.wait(60)
        seen.append((poller.answer, poller.trouble))
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    began = threading.Event()
    poller = Poller(ask, 0.001)
    began.set()
    eventually(lambda: len(seen) > 4)
    poller.close()
    assert seen[:4] == [
        (None, ""), ("one", ""), ("one", "away"), ("one", "ValueError: odd"),
    ]  # fmt: skip
    assert (poller.answer, poller.trouble) == ("two", "")


def test_where_there_is_no_terminal_it_says_what_prints_the_same() -> None:
    out, err = io.StringIO(), io.StringIO()
    assert run(["top"], io.StringIO(), out, err, {}) == 1
    assert err.getvalue().endswith("kubectl sihl queue prints the same once\n")
    assert run(["top", "--record", "/tmp"], io.StringIO(), out, err, {}) == 2
