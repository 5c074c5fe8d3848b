"""The search for a plan that breaks a promise, and the shortest plan that still does."""

from __future__ import annotations

import dataclasses
import gc
import logging
import traceback
import warnings
from collections.abc import Iterable, Iterator

from tests.simulation.plan import Plan, drawn, pair
from tests.simulation.promises import BrokenPromiseError
from tests.simulation.run import Simulation, simulate

_PAIRED = 4
"""One seed in so many is a pair: the same users with and without what goes wrong end the same."""


def many(seeds: Iterable[int]) -> Iterator[tuple[int, BrokenPromiseError | None]]:
    """Play seeds, each followed by what it broke, if anything."""
    logging.disable(logging.CRITICAL)  # what goes wrong in a history is wanted
    gc.freeze()
    gc.disable()  # a history's garbage is collected when it is over, which is quicker
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a killed replica never came to do
            for seed in seeds:
                try:
                    play(seed)
                except BrokenPromiseError as error:
                    yield seed, error
                else:
                    yield seed, None
                gc.collect()
    finally:
        gc.enable()
        gc.unfreeze()
        logging.disable(logging.NOTSET)


def play(seed: int) -> None:
    """A seed's history, or both of its pair.

    Raises:
        BrokenPromiseError: One breaks a promise; `plan` is its.
    """
    if seed % _PAIRED:
        check(drawn(seed))
        return
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
        return _played(plan).end()
    except BrokenPromiseError as error:
        error.plan = plan
        raise


def _played(plan: Plan) -> Simulation:
    """A history; one that cannot be played counts as one that breaks a promise: it has a seed."""
    try:
        return simulate(plan)
    except BrokenPromiseError:
        raise
    except Exception as error:
        raise BrokenPromiseError(traceback.format_exc()) from error


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
        _played(plan)
    except BrokenPromiseError as error:
        return error
    return None
