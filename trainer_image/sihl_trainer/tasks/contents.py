"""What annotations hold in numbers: how often each category occurs, how values are spread.

For the dataset's fingerprint: two datasets that differ may differ in nothing that matters.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sihl_api.fingerprint import Histogram

Contents: TypeAlias = "dict[str, int] | Histogram"

BINS = 20
_LOCK = threading.Lock()
"""One for all: annotations travel to loader processes, and locks do not."""


class Occurrences:
    """How often indices occur in files that are read one by one, in several threads."""

    def __init__(self) -> None:
        self._indices: dict[str, tuple[int, ...]] = {}

    def add(self, image: str, indices: NDArray[Any] | Sequence[int]) -> None:
        """Count each of an image's once."""
        found = tuple(map(int, indices))
        with _LOCK:
            self._indices[image] = found

    @property
    def most(self) -> int:
        """Of one image."""
        return max(map(len, self._indices.values()), default=0)

    def by_name(
        self, names: Sequence[str], images: Collection[str] | None = None
    ) -> dict[str, int]:
        """Of each name, in the order of their indices, in some of the images; None: in all."""
        found = self._indices.items()
        wanted = (each for image, each in found if images is None or image in images)
        counts = Counter(chain.from_iterable(wanted))
        return {name: counts[index] for index, name in enumerate(names)}


class Spread:
    """How values between two ends are spread, which are read file by file, in several threads."""

    def __init__(self, low: float, high: float) -> None:
        self._ends = (low, high)
        self._counts = np.zeros(BINS, np.int64)

    def add(self, values: NDArray[Any] | Sequence[float]) -> None:
        """Count values; what rounding put beyond an end is at the end."""
        found, _ = np.histogram(np.clip(values, *self._ends), BINS, self._ends)
        with _LOCK:
            self._counts += found

    def histogram(self) -> Histogram:
        """Of all that was counted."""
        edges = np.linspace(*self._ends, BINS + 1)
        return Histogram(edges=edges.tolist(), counts=self._counts.tolist())


def longest(spans: Mapping[str, tuple[int, int]]) -> int:
    """Of the images' places in arrays, each from its first to behind its last, the longest."""
    return max((end - start for start, end in spans.values()), default=0)


def counted(indices: NDArray[Any] | Sequence[int], names: Sequence[str]) -> dict[str, int]:
    """How often each name's index occurs."""
    counts = np.bincount(np.asarray(indices, np.int64), minlength=len(names)).tolist()
    return dict(zip(names, counts, strict=True))


def within(
    values: NDArray[Any], spans: Mapping[str, tuple[int, int]], images: Collection[str] | None
) -> NDArray[Any]:
    """The values [M, ...] that lie in the spans of some images; None: in all of them."""
    if images is None:
        return values
    chosen = np.zeros(len(values), bool)
    for image, (start, end) in spans.items():
        chosen[start:end] = image in images
    return values[chosen]
