"""The search for a plan that breaks a promise, and the shortest plan that still does."""

from __future__ import annotations

import dataclasses

from tests.simulation.plan import Plan, drawn, pair
from tests.simulation.promises import BrokenPromiseError
from tests.simulation.run import simulate

_PAIRED = 4
"""One seed in so many is played twice, with and without what goes wrong: both end the same."""


def play(seed: int) -> None:
    """All histories of a seed.

    Raises:
        BrokenPromiseError: One breaks a promise; `plan` is its.
    """
    check(drawn(seed))
    if seed % _PAIRED == 0:
        calm, troubled = pair(seed)
        ends = [check(calm), check(troubled)]
        if ends[0] != ends[1]:
            raise BrokenPromiseError(f"the same users: {ends[0]}; and with troubles: {ends[1]}")


def check(plan: Plan) -> dict[str, str]:
    """How each job of one history ends.

    Raises:
        BrokenPromiseError: It breaks a promise; `plan` is its.
    """
    try:
        return simulate(plan).end()
    except BrokenPromiseError as error:
        error.plan = plan
        raise


def shrunk(plan: Plan) -> tuple[Plan, BrokenPromiseError]:
    """The plan without every step that is not needed to break a promise, and what it breaks.

    Raises:
        ValueError: The plan breaks none.
    """
    found = _broken(plan)
    if found is None:
        raise ValueError("this plan breaks no promise")
    size = len(plan.steps)
    while size >= 1:
        start = 0
        while start < len(plan.steps):
            fewer = dataclasses.replace(plan, steps=plan.steps[:start] + plan.steps[start + size :])
            error = _broken(fewer) if fewer.steps else None
            if error is None:
                start += size
            else:
                plan, found = fewer, error
        size //= 2
    return plan, found


def _broken(plan: Plan) -> BrokenPromiseError | None:
    try:
        simulate(plan)
    except BrokenPromiseError as error:
        return error
    return None
