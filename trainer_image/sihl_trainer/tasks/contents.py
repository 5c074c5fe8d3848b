"""What annotations hold in numbers: how often each category occurs, how values are spread.

For the dataset's fingerprint: two datasets that differ may differ in nothing that matters.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
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
        self._counts: Counter[int] = Counter()

    def add(self, indices: NDArray[Any] | Sequence[int]) -> None:
        """Count each once."""
        found = list(map(int, indices))
        with _LOCK:
            self._counts.update(found)

    def by_name(self, names: Sequence[str]) -> dict[str, int]:
        """Of each name, in the order of their indices."""
        return {name: self._counts[index] for index, name in enumerate(names)}


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


def counted(indices: NDArray[Any] | Sequence[int], names: Sequence[str]) -> dict[str, int]:
    """How often each name's index occurs."""
    occurrences = Occurrences()
    occurrences.add(indices)
    return occurrences.by_name(names)
