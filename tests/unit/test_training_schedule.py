from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sihl_api.training import Scheduler
from sihl_trainer.training.schedule import rate_factor, validation_due


@pytest.mark.parametrize(
    ("scheduler", "factors"),
    [
        ({"name": "Constant"}, {0: 1, 99: 1}),
        ({"name": "MultiStep", "milestones": [50, 80]}, {0: 1, 49: 1, 50: 0.1, 79: 0.1, 80: 0.01}),
        ({"name": "MultiStep", "milestones": [10], "factor": 0.5}, {9: 1, 10: 0.5, 99: 0.5}),
        ({"name": "OneCycle"}, {0: 0.04, 5: 0.52, 10: 1, 55: 0.50005, 100: 1e-4}),
        (
            {"name": "OneCycle", "warmupSteps": 20, "initialFactor": 0.5, "finalFactor": 0.1},
            {0: 0.5, 10: 0.75, 20: 1, 60: 0.55, 100: 0.1},
        ),
        ({"name": "OneCycle", "warmupSteps": 0}, {0: 1, 50: 0.50005}),
        ({"name": "OneCycle", "warmupSteps": 1000}, {0: 0.04, 50: 0.512535}),
    ],
)
def test_the_rate_follows_its_schedule(scheduler: Any, factors: dict[int, float]) -> None:
    settings = Scheduler.model_validate(scheduler)
    found = {step: rate_factor(settings, step, 101) for step in factors}
    assert found == pytest.approx(factors)


@given(st.integers(1, 5000), st.none() | st.integers(0, 6000))
def test_one_cycle_rises_then_falls_and_stays_between_nothing_and_the_full_rate(
    max_steps: int, warmup: int | None
) -> None:
    settings = Scheduler(warmup_steps=warmup)
    stride = max(1, max_steps // 50)
    factors = [rate_factor(settings, step, max_steps) for step in range(0, max_steps, stride)]
    assert all(0 < factor <= 1 for factor in factors)
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)


@given(st.integers(1, 5000), st.none() | st.integers(0, 5000), st.floats(1e-5, 1))
def test_the_last_step_of_one_cycle_has_the_final_factor(
    max_steps: int, warmup: int | None, final: float
) -> None:
    warmup = None if warmup is None else min(warmup, max_steps - 1)
    settings = Scheduler(warmup_steps=warmup, final_factor=final)
    assert rate_factor(settings, max_steps - 1, max_steps) == pytest.approx(final)


@given(st.integers(1, 300), st.integers(1, 300))
def test_validations_are_as_many_as_asked_evenly_spread_and_the_last_is_at_the_end(
    max_steps: int, validations: int
) -> None:
    due = [step for step in range(max_steps + 1) if validation_due(step, max_steps, validations)]
    assert len(due) == min(max_steps, validations)
    assert due[-1] == max_steps
    gaps = [after - before for before, after in zip([0, *due], due, strict=False)]
    assert max(gaps) - min(gaps) <= 1
