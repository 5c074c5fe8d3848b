"""Histories by seed: faults, users and fate. Every promise holds in each, and all settle."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.plan import drawn, pair
from tests.simulation.planted import BUGS, Bug
from tests.simulation.run import simulate
from tests.simulation.search import many, play

ROOT = Path(__file__).parents[2]
SEEDS = 1000
FOUND = (11487, 20832, 25640, 145191, 353510, 367533, 1147100)
"""Seeds beyond these that a longer search has found to break a promise, mended since."""


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)  # what goes wrong in a history is wanted


@pytest.mark.parametrize("first", range(0, SEEDS, 50))
def test_whatever_goes_wrong_every_promise_holds_and_everything_settles(first: int) -> None:
    for _, error in many(range(first, first + 50)):
        if error is not None:
            raise error


@pytest.mark.parametrize("seed", FOUND)
def test_what_a_longer_search_has_found_stays_mended(seed: int) -> None:
    play(seed)


@pytest.mark.parametrize("seed", range(3))
def test_a_seed_is_one_history(seed: int) -> None:
    assert simulate(drawn(seed)).told(10**6) == simulate(drawn(seed)).told(10**6)


@pytest.mark.parametrize("seed", range(20, 30))
def test_what_goes_wrong_changes_not_how_jobs_end(seed: int) -> None:
    calm, troubled = pair(seed)
    assert simulate(calm).end() == simulate(troubled).end()


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation.planted", bug.name, "--seconds", "300"],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
