"""Histories by seed: crashes, lost answers, cut watches, users; every one must end well."""

from __future__ import annotations

import logging

import pytest

from tests.simulation.run import simulate


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 40, 10))
def test_whatever_fails_on_the_way_every_promise_holds_and_everything_settles(
    first: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    for seed in range(first, first + 10):
        simulate(seed)
