"""The live view of the demo: until all jobs have ended, and not for ever."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from demo import live
from demo.commands import DemoError
from demo.jobs import JobView

Look = Callable[[], list[JobView]]
PLAIN = Console(file=io.StringIO(), force_terminal=False)
QUEUED = JobView("one", "p", "Queued", position=2)
RUNNING = JobView("one", "p", "Running", step="20 of 100", left="1m20s")
DONE = JobView("one", "p", "Succeeded", metrics={"digit/accuracy": "0.98"})


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "POLL_SECONDS", 0.0)


def shows(*answers: list[JobView] | None) -> Look:
    """A cluster that shows these one after the other; at None it does not answer."""
    left = list(answers)

    def look() -> list[JobView]:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if answer is None:
            raise DemoError("kubectl failed")
        return answer

    return look


def test_a_phase_is_told_once_and_the_jobs_are_returned_as_they_ended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended = live.watch(shows([QUEUED], [QUEUED], [RUNNING], [RUNNING], [DONE]), PLAIN)
    assert ended == [DONE]
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[3] for line in said] == ["Queued", "Running", "Succeeded"]
    assert "position 2" in said[0]


def test_what_a_running_job_has_done_is_told_from_time_to_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live, "PLAIN_SECONDS", -1.0)
    other = JobView("two", "q", "Failed")
    live.watch(shows([RUNNING, other], [RUNNING, other], [DONE, other]), PLAIN)
    said = capsys.readouterr().out
    assert said.count("Running") == 2
    assert said.count("Failed") == 1, "a job that has ended is told once"


def test_on_a_terminal_there_is_a_table() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    live.watch(shows([RUNNING], [DONE]), console)
    for shown in ("position", "20 of 100", "1m20s", "Succeeded", "digit/accuracy 0.98"):
        assert shown in screen.getvalue()


def test_jobs_that_are_not_there_yet_are_waited_for() -> None:
    assert live.watch(shows([], [DONE]), PLAIN) == [DONE]


def test_a_cluster_that_is_silent_for_a_while_is_forgiven() -> None:
    assert live.watch(shows([RUNNING], None, None, [DONE]), PLAIN) == [DONE]


def test_a_cluster_that_stays_silent_ends_the_view_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "PATIENCE_SECONDS", -1.0)
    with pytest.raises(DemoError, match="kubectl failed"):
        live.watch(shows([RUNNING], None), PLAIN)


def test_jobs_that_do_not_end_are_not_watched_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LONGEST_SECONDS", -1.0)
    with pytest.raises(DemoError, match="have not ended"):
        live.watch(shows([RUNNING]), PLAIN)
