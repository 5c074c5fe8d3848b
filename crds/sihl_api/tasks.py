"""The tasks that a head can learn, and which annotations can become which.

A dataset is annotated for some task; a head learns a task. The head can be fed when the two are
the same or when the graph of conversions has a path between them. Adding a task is adding it
here, a converter for each of its edges, and a folder of the trainer's `tasks`: nothing in between.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from difflib import get_close_matches
from enum import StrEnum


class Task(StrEnum):
    """A vision task, as `spec.model.heads[].task` spells it."""

    MULTICLASS_CLASSIFICATION = "MulticlassClassification"
    MULTILABEL_CLASSIFICATION = "MultilabelClassification"
    METRIC_LEARNING = "MetricLearning"
    REGRESSION = "Regression"
    OBJECT_DETECTION = "ObjectDetection"
    KEYPOINT_DETECTION = "KeypointDetection"
    QUADRILATERAL_DETECTION = "QuadrilateralDetection"
    SEMANTIC_SEGMENTATION = "SemanticSegmentation"
    INSTANCE_SEGMENTATION = "InstanceSegmentation"
    PANOPTIC_SEGMENTATION = "PanopticSegmentation"
    DEPTH_ESTIMATION = "DepthEstimation"
    TEXT_RECOGNITION = "TextRecognition"
    VIEW_INVARIANCE = "ViewInvariance"
    AUTOENCODING = "Autoencoding"
    ANOMALY_DETECTION = "AnomalyDetection"

    @property
    def words(self) -> str:
        """The task as a dataset's metadata spells it: 'object detection'."""
        return re.sub(r"(?<!^)([A-Z])", r" \1", self.value).lower()

    @property
    def self_supervised(self) -> bool:
        """Whether it is learnt from images alone: any dataset feeds it, whatever is annotated."""
        return self in SELF_SUPERVISED


DETECTING = (
    Task.OBJECT_DETECTION,
    Task.KEYPOINT_DETECTION,
    Task.QUADRILATERAL_DETECTION,
    Task.INSTANCE_SEGMENTATION,
    Task.PANOPTIC_SEGMENTATION,
)
"""Tasks whose heads predict a number of objects of each image."""
SELF_SUPERVISED = (Task.VIEW_INVARIANCE, Task.AUTOENCODING, Task.ANOMALY_DETECTION)


_ELSEWHERE = {
    Task.OBJECT_DETECTION: ("detect", "boxes", "bbox"),
    Task.MULTICLASS_CLASSIFICATION: ("classify", "imageclassification"),
    Task.KEYPOINT_DETECTION: ("pose", "poseestimation", "keypoints"),
    Task.QUADRILATERAL_DETECTION: ("obb", "orientedobjectdetection"),
    Task.SEMANTIC_SEGMENTATION: ("segment",),
    Task.INSTANCE_SEGMENTATION: ("segment",),
    Task.DEPTH_ESTIMATION: ("depth", "monoculardepth"),
    Task.TEXT_RECOGNITION: ("ocr",),
}
"""What other tools call tasks, which is too unlike to be guessed."""


def task_from_words(words: str) -> Task:
    """The task that metadata names in words, in any case and spacing, with or without 'learning'.

    Raises:
        ValueError: no such task; the message names the nearest, or lists those that exist.
    """
    wanted = "".join(words.replace("-", " ").replace("_", " ").split()).lower()
    for task in Task:
        if wanted in (task.value.lower(), f"{task.value.lower()}learning"):
            return task
    named = [task.words for task in Task]
    near = [task.words for task, others in _ELSEWHERE.items() if wanted in others]
    near = near or [each for each in named if each.endswith(f" {words.lower()}")]
    near = near or get_close_matches(words.lower(), named, n=1)
    meant = " or ".join(map(repr, near))
    remedy = f"did you mean {meant}?" if near else f"write one of {known_tasks()}"
    raise ValueError(f"unknown task {words!r}: {remedy}")


def known_tasks() -> str:
    """All tasks as metadata spells them, for a message."""
    return ", ".join(repr(task.words) for task in Task)


_SUPERVISED: dict[Task, tuple[Task, ...]] = {
    Task.PANOPTIC_SEGMENTATION: (Task.SEMANTIC_SEGMENTATION, Task.INSTANCE_SEGMENTATION),
    Task.INSTANCE_SEGMENTATION: (Task.OBJECT_DETECTION,),
    Task.QUADRILATERAL_DETECTION: (Task.OBJECT_DETECTION,),
    Task.KEYPOINT_DETECTION: (Task.OBJECT_DETECTION,),
    Task.OBJECT_DETECTION: (Task.QUADRILATERAL_DETECTION, Task.MULTILABEL_CLASSIFICATION),
    Task.SEMANTIC_SEGMENTATION: (Task.MULTILABEL_CLASSIFICATION,),
    Task.MULTICLASS_CLASSIFICATION: (Task.METRIC_LEARNING, Task.MULTILABEL_CLASSIFICATION),
    Task.METRIC_LEARNING: (Task.MULTICLASS_CLASSIFICATION,),
}

CONVERSIONS: dict[Task, tuple[Task, ...]] = {
    task: _SUPERVISED.get(task, ()) + tuple(to for to in SELF_SUPERVISED if to is not task)
    for task in Task
}
"""Edges of the graph: annotations for the key can become annotations for each of the values."""


def conversion_path(
    source: Task, target: Task, edges: Mapping[Task, tuple[Task, ...]] | None = None
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


def reachable(source: Task) -> list[Task]:
    """All other tasks that annotations for a task can become annotations for."""
    return [task for task in Task if task is not source and conversion_path(source, task)]
