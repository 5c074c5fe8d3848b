"""The tasks that a head can learn, and which annotations can become which.

A dataset is annotated for some task; a head learns a task. The head can be fed when the two are
the same or when the graph of conversions has a path between them. Adding a task is adding it
here, a reader for its annotations, a conversion for each edge, and a head: nothing in between.
"""

from __future__ import annotations

import re
from collections import deque
from enum import StrEnum


class Task(StrEnum):
    """A vision task, as `spec.model.heads[].task` spells it."""

    MULTICLASS_CLASSIFICATION = "MulticlassClassification"
    OBJECT_DETECTION = "ObjectDetection"

    @property
    def words(self) -> str:
        """The task as a dataset's metadata spells it: 'object detection'."""
        return re.sub(r"(?<!^)([A-Z])", r" \1", self.value).lower()


def task_from_words(words: str) -> Task:
    """The task that metadata names in words, in any case and spacing.

    Raises:
        ValueError: no such task; the message lists those that exist.
    """
    wanted = "".join(words.replace("-", " ").split()).lower()
    for task in Task:
        if task.value.lower() == wanted:
            return task
    known = ", ".join(repr(task.words) for task in Task)
    raise ValueError(f"unknown task {words!r}: this release knows {known}")


CONVERSIONS: dict[Task, tuple[Task, ...]] = {
    # None of the tasks that exist so far can be told from another one's annotations.
    Task.MULTICLASS_CLASSIFICATION: (),
    Task.OBJECT_DETECTION: (),
}
"""Edges of the graph: annotations for the key can become annotations for each of the values."""


def conversion_path(
    source: Task, target: Task, edges: dict[Task, tuple[Task, ...]] | None = None
) -> list[Task] | None:
    """The shortest path of conversions, both ends included, or None where there is none."""
    edges = CONVERSIONS if edges is None else edges
    paths = deque([[source]])
    seen = {source}
    while paths:
        path = paths.popleft()
        if path[-1] == target:
            return path
        for step in edges.get(path[-1], ()):
            if step not in seen:
                seen.add(step)
                paths.append([*path, step])
    return None
