"""summary.json says what a reader of all lines would find, whatever happened on the way."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sihl_api.record import (
    AttemptSummary,
    JobSummary,
    MetricLine,
    MetricSummary,
    Point,
    SummaryProgress,
)
from sihl_api.runtime import Result
from sihl_trainer.errors import Unavailable
from sihl_trainer.record.store import FolderStore
from sihl_trainer.record.summary import SummaryKeeper
from tests.support.records import PATHS
from tests.support.waiting import eventually

VALUES = st.sampled_from([0.0, 0.5, 1.0, -1.0, math.nan, math.inf, -math.inf])


def line(step: int, kind: str = "validation", **values: float) -> MetricLine:
    return MetricLine.model_validate(
        {"time": "2026-01-02T03:04:05Z", "step": step, "kind": kind, "values": values}
    )


def keeper(store: FolderStore, attempt: int) -> SummaryKeeper:
    return SummaryKeeper(store, PATHS, AttemptSummary(number=attempt), max_steps=100)


def summary(store: FolderStore) -> JobSummary:
    return JobSummary.model_validate_json(store.get(PATHS.summary))


def put(store: FolderStore, attempt: int, *lines: MetricLine) -> None:
    """The lines as the attempt ships them."""
    text = "".join(f"{each.model_dump_json(by_alias=True)}\n" for each in lines)
    store.put(PATHS.metrics(attempt, 0), text.encode())


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


# --- metrics ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ran:
    """An attempt: where it resumed, and what it measured at the steps that follow."""

    resumed_at: int
    values: list[float]

    @property
    def lines(self) -> list[MetricLine]:
        steps = enumerate(self.values, start=self.resumed_at + 1)
        return [line(step, "train", loss=value) for step, value in steps]


@st.composite
def jobs(draw: st.DrawFn) -> list[Ran]:
    """Attempts of which each resumes somewhere in what the ones before have done."""
    done, ran = 0, []
    for _ in range(draw(st.integers(1, 4))):
        attempt = Ran(draw(st.integers(0, done)), draw(st.lists(VALUES, max_size=5)))
        done = max(done, attempt.resumed_at + len(attempt.values))
        ran.append(attempt)
    return ran


def expected(ran: list[Ran]) -> MetricSummary | None:
    """By the rules, from all lines at once."""
    counted: list[MetricLine] = []
    for attempt in ran:
        if attempt.values:
            counted = [each for each in counted if each.step <= attempt.resumed_at]
        counted += attempt.lines
    points = [Point(step=each.step, value=each.values["loss"]) for each in counted]
    finite = [point for point in points if math.isfinite(point.value)]
    if not finite:
        return MetricSummary(better="lower") if points else None
    least = min(finite, key=lambda point: point.value)
    greatest = max(finite, key=lambda point: point.value)
    return MetricSummary(last=finite[-1], min=least, max=greatest, best=least, better="lower")


@settings(max_examples=40)
@given(jobs(), st.sets(st.integers(1, 4)))
def test_what_a_later_attempt_learnt_anew_counts_and_what_it_superseded_does_not(
    tmp_path_factory: pytest.TempPathFactory, ran: list[Ran], killed: set[int]
) -> None:
    store, before = FolderStore(tmp_path_factory.mktemp("store")), None
    for number, attempt in enumerate(ran, start=1):
        running = keeper(store, number)
        running.resumes(attempt.resumed_at or None)
        for each in attempt.lines:
            running.line(each, {})
        put(store, number, *attempt.lines)
        running.close()
        if number in killed and number < len(ran):  # before it wrote any summary
            store.delete(PATHS.summary)
            if before is not None:
                store.put(PATHS.summary, before)
        before = store.get(PATHS.summary) if store.objects(PATHS.summary) else None
    found = summary(store).train.get("loss")
    reference = expected(ran)
    # Where a metric was lost with what was superseded, its name may remain.
    assert (found.last if found else None) == (reference.last if reference else None)
    if found is not None and reference is not None:
        assert found == reference


def test_the_best_is_the_least_or_the_greatest_as_the_metric_says(store: FolderStore) -> None:
    running = keeper(store, 1)
    running.line(line(1, "train", loss=0.5), {})
    running.line(line(1, map=0.5, error=0.5, threshold=0.5), {"map": "higher", "error": "lower"})
    running.line(line(2, map=0.7, error=0.7, threshold=0.7), {"map": "higher", "error": "lower"})
    running.close()
    found = summary(store)
    assert {name: (each.best, each.better) for name, each in found.validation.items()} == {
        "map": (Point(step=2, value=0.7), "higher"),
        "error": (Point(step=1, value=0.5), "lower"),
        "threshold": (None, None),
    }
    assert found.train["loss"].best == Point(step=1, value=0.5)


def test_which_value_is_the_better_one_is_known_before_an_attempts_first_validation(
    store: FolderStore,
) -> None:
    one = keeper(store, 1)
    one.stepped(1, None)
    one.line(line(1, map=0.5), {"map": "higher"})
    one.close()
    put(store, 1, line(1, map=0.5))
    keeper(store, 2).close()
    assert summary(store).validation["map"].best == Point(step=1, value=0.5)


def test_a_record_of_an_earlier_release_is_summed_up_from_its_lines(store: FolderStore) -> None:
    put(store, 1, line(5, map=0.5), line(10, map=0.9))
    store.put(PATHS.result(1), Result(reason="Stopped", step=10).encode())
    put(store, 2, line(8, map=0.6), line(12, map=0.7))
    running = keeper(store, 3)
    running.close()
    found = summary(store)
    assert found.validation["map"].max == Point(step=12, value=0.7)
    first, second, third = found.attempts
    assert (first.resumed_at_step, first.first_step, first.last_step) == (None, 5, 10)
    assert (first.reason, second.reason) == ("Stopped", None)
    assert (second.resumed_at_step, second.last_step) == (7, 12)
    assert third == AttemptSummary(number=3)


# --- attempts --------------------------------------------------------------------------------


def test_a_superseded_attempt_leaves_the_summary_alone(store: FolderStore) -> None:
    late = keeper(store, 1)
    late.stepped(1, None)
    late.close()
    keeper(store, 2).close()
    before = store.get(PATHS.summary)
    late.line(line(2, map=1.0), {"map": "higher"})
    late.ended(Result(reason="Succeeded"))
    late.close()
    assert store.get(PATHS.summary) == before


def test_attempts_are_told_one_after_the_other_with_what_ended_them(store: FolderStore) -> None:
    one = keeper(store, 1)
    one.resumes(None)
    one.stepped(3, 64.0)
    one.stopping()
    one.ended(Result(reason="Stopped", step=3))
    one.close()
    two = keeper(store, 2)
    two.resumes(3)
    two.stepped(3, None)  # while it loads
    two.stepped(5, 32.0)
    two.close()
    found = summary(store)
    first, second = found.attempts
    assert (first.first_step, first.last_step, first.reason) == (1, 3, "Stopped")
    assert first.trained_at
    assert first.stopping_at
    assert first.ended_at
    assert (second.resumed_at_step, second.first_step, second.last_step) == (3, 4, 5)
    assert second.ended_at is None
    assert found.progress == SummaryProgress(step=5, max_steps=100, images_per_second=32.0)


def test_an_attempt_whose_pod_was_made_again_is_one_attempt(store: FolderStore) -> None:
    lives = [keeper(store, 2), keeper(store, 2)]
    put(store, 1, line(10, map=0.9), line(20, map=1.0))
    lives[0].resumes(10)
    lives[0].stepped(30, None)
    lives[0].close()
    lives[1].resumes(20)
    lives[1].stepped(25, None)
    lives[1].close()
    found = summary(store)
    assert [each.number for each in found.attempts] == [1, 2]
    assert (found.attempts[1].resumed_at_step, found.attempts[1].first_step) == (10, 11)
    assert found.validation["map"].last == Point(step=10, value=0.9)


# --- writing ---------------------------------------------------------------------------------


def test_a_validation_is_in_the_summary_without_anybody_asking(store: FolderStore) -> None:
    running = keeper(store, 1)
    running.line(line(1, map=0.5), {"map": "higher"})
    eventually(lambda: bool(store.objects(PATHS.summary)))
    assert summary(store).validation["map"].last == Point(step=1, value=0.5)


def test_a_store_that_is_away_costs_the_summary_and_nothing_else(tmp_path: Path) -> None:
    class Away(FolderStore):
        def get(self, key: str) -> bytes:
            raise Unavailable("StoreUnavailable", f"{key} is away")

    away = keeper(Away(tmp_path), 1)
    away.line(line(1, map=0.5), {})
    away.close()
    assert list(tmp_path.rglob("*.json")) == []


def test_a_summary_that_cannot_be_read_is_written_anew(store: FolderStore) -> None:
    store.put(PATHS.summary, b'{"attempts": [')
    put(store, 1, line(1, map=0.5))
    keeper(store, 2).close()
    assert [each.number for each in summary(store).attempts] == [1, 2]
