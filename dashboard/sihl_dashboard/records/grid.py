"""Curves of many jobs on one grid: smoothed first, then min, max and last of each bucket."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sihl_dashboard.records.measured import Floats, Integers


@dataclass(frozen=True)
class Grid:
    """Buckets of equal width from `first` to `last`, both included."""

    first: float
    last: float
    buckets: int

    @property
    def edges(self) -> Floats:
        """Where buckets begin, and the last one's end."""
        return np.linspace(self.first, self.last, self.buckets + 1)

    def bucket_of(self, x: Floats) -> Integers:
        """The bucket of each position, all of which lie within the grid."""
        width = (self.last - self.first) / self.buckets
        if not width > 0:
            return np.zeros(len(x), np.int64)
        return np.minimum((x - self.first) // width, self.buckets - 1).astype(np.int64)


@dataclass(frozen=True)
class Sampled:
    """Buckets that have points; one without a finite value has NaN: a gap.

    Attributes:
        bucket: Its number.
        x: Of its last point.
        min: Of its finite values; so are `max` and `last`.
        points: How many lie in it.
        gaps: How many of these are no finite number.
    """

    bucket: Integers
    x: Floats
    min: Floats
    max: Floats
    last: Floats
    points: Integers
    gaps: Integers


def smoothed(x: Floats, values: Floats, constant: float) -> Floats:
    """Means weighted by age: a value that is `constant` older counts 1/e as much.

    An exponential moving average by distance on the axis, so that it means the same wherever
    points lie more or less dense. What is no finite number is left as it is, and counts for none.

    Args:
        x: Positions, which never fall.
        values: As many.
        constant: In the axis' unit; 0 smooths nothing.
    """
    if not constant > 0 or not len(values):
        return values
    aged = np.exp(-np.diff(x, prepend=x[:1]) / constant).tolist()
    finite = np.isfinite(values)
    total = weight = 0.0
    means = values.tolist()
    for index, (keep, counts) in enumerate(zip(aged, finite.tolist(), strict=True)):
        total, weight = total * keep, weight * keep
        if counts:
            total, weight = total + means[index], weight + 1.0
            means[index] = total / weight
    return np.array(means)


def sampled(grid: Grid, x: Floats, values: Floats) -> Sampled:
    """A curve in the grid's buckets.

    Args:
        grid: Positions outside it are left out.
        x: Positions, which never fall.
        values: As many, finite or not.
    """
    inside = (x >= grid.first) & (x <= grid.last)
    x, values = x[inside], values[inside]
    if not len(x):
        none = np.empty(0, np.int64)
        return Sampled(none, x, values, values, values, none, none)
    buckets = grid.bucket_of(x)
    starts = np.flatnonzero(np.diff(buckets, prepend=buckets[:1] - 1))
    ends = np.append(starts[1:], len(x))
    finite = np.isfinite(values)
    found = np.logical_or.reduceat(finite, starts)
    # By bucket, the last point with a finite value.
    last = np.maximum.reduceat(np.where(finite, np.arange(len(x)), -1), starts)
    return Sampled(
        bucket=buckets[starts],
        x=x[ends - 1],
        min=np.where(found, np.minimum.reduceat(np.where(finite, values, np.inf), starts), np.nan),
        max=np.where(found, np.maximum.reduceat(np.where(finite, values, -np.inf), starts), np.nan),
        last=np.where(found, values[last], np.nan),
        points=ends - starts,
        gaps=np.add.reduceat((~finite).astype(np.int64), starts),
    )
