"""Annotations for one task turned into those for another, along `sihl_api.tasks.CONVERSIONS`.

A converter belongs to an edge of that graph and does one step; a longer path is their
composition, so that a new edge serves every path through it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from sihl_api.tasks import Task, conversion_path
from sihl_trainer.tasks.target import HeadInfo, Target


@dataclass(frozen=True)
class Converter:
    """One step: what the head is told, and each target. Functions of a module: they are pickled.

    Args:
        info: From the source's info to the result's.
        target: From the source's info and target to the result's target.
    """

    info: Callable[[HeadInfo], HeadInfo]
    target: Callable[[HeadInfo, Target], Target]


Converters = Mapping[tuple[Task, Task], Converter]

CONVERTERS: Converters = {}
"""By edge. The tasks of this release cannot be told from each other's annotations."""


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
    edges: dict[Task, tuple[Task, ...]] | None = None,
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
