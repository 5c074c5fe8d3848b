"""What every measuring instrument is, and the two kinds of state that one can have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Measure(ABC):
    """A measure over a dataset, of which each rank sees a part.

    It is updated image by image or batch by batch (each kind by its own `update`), travels pickled,
    and keeps numbers only: its size never depends on how large images are. Numbers come from the
    CPU, as arrays or tensors.
    """

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Take in what another rank's instrument has seen; `other` is left as it was."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The results by name, finite; what was seen may leave one undefined: it is absent."""


class Summed(Measure):
    """One whose state is sums, which merge by being added.

    Attributes:
        totals: int64 or float64, of any shape.
    """

    def __init__(self, totals: NDArray[Any]) -> None:
        self.totals = totals

    def merge(self, other: Self) -> None:
        """Add the other's sums."""
        self.totals += other.totals


class Kept(Measure):
    """One that must keep a row for each thing seen, because its result is of their order."""

    def __init__(self, row: DTypeLike) -> None:
        self.rows = Rows(row)

    def merge(self, other: Self) -> None:
        """Keep the other's rows after the own."""
        self.rows.extend(other.rows)


class Rows:
    """A growing table: a structured array, in pieces until it is read or sent."""

    def __init__(self, row: DTypeLike) -> None:
        self._row = np.dtype(row)
        self._pieces: list[NDArray[Any]] = []

    def add(self, count: int, **columns: Any) -> None:
        """Rows, by column; a single value is every row's."""
        piece = np.empty(count, self._row)
        for name, values in columns.items():
            piece[name] = values
        self._pieces.append(piece)

    def extend(self, other: Rows) -> None:
        """The other's rows, after these."""
        self._pieces += other._pieces

    def table(self) -> NDArray[Any]:
        """All rows in the order in which they came."""
        whole = np.concatenate([np.empty(0, self._row), *self._pieces])
        self._pieces = [whole]
        return whole

    def __getstate__(self) -> tuple[np.dtype[Any], NDArray[Any]]:
        return self._row, self.table()

    def __setstate__(self, state: tuple[np.dtype[Any], NDArray[Any]]) -> None:
        self._row, whole = state
        self._pieces = [whole]


def ratios(**parts: tuple[float, float]) -> dict[str, float]:
    """Parts of wholes by name: (part, whole). Of nothing there is no part."""
    return {name: float(part) / float(whole) for name, (part, whole) in parts.items() if whole}
