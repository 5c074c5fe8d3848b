"""Annotations for one task turned into those for another, along `sihl_api.tasks.CONVERSIONS`.

A converter belongs to an edge of that graph and does one step; a longer path is their
composition, so that a new edge serves every path through it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from sihl_api.tasks import Task, conversion_path
from sihl_trainer.tasks.converters import CONVERTERS, Converter, Converters
from sihl_trainer.tasks.info import HeadInfo

if TYPE_CHECKING:
    from sihl_trainer.tasks.target import Target


__all__ = ["CONVERTERS", "Conversion", "Converter", "Converters", "conversion"]


@dataclass(frozen=True)
class Conversion:
    """The steps along a path; without steps it changes nothing."""

    steps: tuple[Converter, ...] = ()

    def info(self, info: HeadInfo) -> HeadInfo:
        """What the head is told."""
        for step in self.steps:
            info = step.info(info)
        return info

    def target(self, info: HeadInfo, target: Target) -> Target:
        """The head's target for an image; `info` is that of the annotations."""
        for step in self.steps:
            info, target = step.info(info), step.target(info, target)
        return target


def conversion(
    source: Task,
    target: Task,
    edges: Mapping[Task, tuple[Task, ...]] | None = None,
    converters: Converters = CONVERTERS,
) -> Conversion | None:
    """What turns annotations for `source` into annotations for `target`.

    Args:
        source: What the dataset is annotated for.
        target: What the head learns.
        edges: The graph; by default `CONVERSIONS`.
        converters: One for each edge of the graph.

    Returns:
        The composition along the shortest path, or None where no path leads there.
    """
    path = conversion_path(source, target, edges)
    if path is None:
        return None
    return Conversion(tuple(converters[edge] for edge in pairwise(path)))
