"""What measures a head's predictions over a validation set, a batch at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, TypeAlias

import torchmetrics

from sihl_api.record import Better

Directions: TypeAlias = Mapping[str, Better | None]
"""By name of each result: which of two values is the better one; None: neither is."""


class Metric(ABC):
    """Measures images as they come: its memory does not grow with predictions that are maps.

    It is pickled on its way between ranks, and keeps everything on the CPU.
    """

    better: ClassVar[Directions]
    """Of each result that `compute` can give."""

    @abstractmethod
    def update(
        self, predictions: Sequence[Any], targets: Sequence[Any], places: Sequence[int]
    ) -> None:
        """Count images of a batch: what `Head.examine` says of each, and its target.

        Args:
            predictions: Of the images that are annotated for the head.
            targets: Theirs, on the CPU.
            places: Theirs in the validation set: what depends on an order follows this one, so that
                results do not depend on how many ranks there are.
        """

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Count what another rank has counted."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Results by name over all that was counted, at least one image; never NaN.

        What these images leave undefined, as without one object, is absent.
        """


class Collected(Metric):
    """torchmetrics' instruments under names of ours.

    Args:
        instruments: Each updated with the same arguments. Made with `sync_on_compute=False`: one
            rank computes what all have counted, and the others would be waited for in vain.
    """

    def __init__(self, instruments: Mapping[str, torchmetrics.Metric]) -> None:
        self.instruments = dict(instruments)

    def count(self, *arguments: Any) -> None:
        """Update all instruments."""
        for instrument in self.instruments.values():
            instrument.update(*arguments)

    def merge(self, other: Self) -> None:
        """Add the other's state to each instrument's."""
        for name, instrument in self.instruments.items():
            instrument.merge_state(other.instruments[name])

    def compute(self) -> dict[str, float]:
        """Each instrument's result."""
        return {name: float(each.compute()) for name, each in self.instruments.items()}
