"""Annotations for one task turned into those for another, along `sihl_api.tasks.CONVERSIONS`.

A converter belongs to an edge of that graph and does one step; a longer path is their
composition, so that a new edge serves every path through it. The fetch asks which paths there are
and what heads are told, so torch is imported only where a target is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from sihl_api.tasks import SELF_SUPERVISED, Task, conversion_path
from sihl_trainer.tasks.info import HeadInfo

if TYPE_CHECKING:
    from sihl_trainer.tasks.target import Target


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


def _images_alone(task: Task) -> Converter:
    """To a self-supervised task, which ignores whatever is annotated."""
    return Converter(partial(_no_names, task), _image)


def _no_names(task: Task, _: HeadInfo) -> HeadInfo:
    return HeadInfo(task)


def _image(_: HeadInfo, target: Target) -> Target:  # noqa: ARG001
    from sihl_trainer.tasks.target import ImageTarget

    return ImageTarget()


CONVERTERS: Converters = {
    (source, to): _images_alone(to) for source in Task for to in SELF_SUPERVISED if source is not to
}
"""By edge of the graph."""


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
