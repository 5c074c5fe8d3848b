"""What the runs measured: made up, the same for all who show it. Needs numpy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

KIND = "train"
NAMES = ("boxes/box", "boxes/class", "boxes/centre", "boxes/total")
BEGIN = 1_767_312_000
"""Seconds since 1970 at which the first run began."""
EACH = 5
"""Seconds from one point to the next, and steps."""


def name(run: int) -> str:
    """What a run is called."""
    return f"run-{run:02d}"


def rate(run: int) -> float:
    """The setting in which runs differ, beside their number: a learning rate."""
    return float(10.0 ** -(1 + run % 4))


def steps(points: int) -> NDArray[np.int64]:
    """Of each point, [points]."""
    return EACH * np.arange(1, points + 1)


def clock(run: int, points: int) -> NDArray[np.int64]:
    """Seconds since 1970 of each point, [points]."""
    return BEGIN + 60 * run + steps(points)


def values(run: int, points: int) -> dict[str, NDArray[np.float64]]:
    """Of each metric, [points]: losses that fall, with noise."""
    rng = np.random.default_rng(run)
    progress = np.arange(points) / points
    fall = np.exp(-(2 + run % 7) * progress) + 0.02 * run
    return {
        each: np.abs(fall + 0.1 * index + rng.normal(0, 0.05, points))
        for index, each in enumerate(NAMES)
    }
