"""Several runs of one kind: a task on other splits, with few labels, and three tasks at once."""

from __future__ import annotations

from typing import Any

from sihl_api.trainingjob import TrainingJobSpec
from tests.bench.tasks.plans import PLANS, PYRAMID, Plan, spec

# --- other splits ----------------------------------------------------------------------------

SPLIT_TASK = "multiclass"
SEEDS = range(5)
"""Of data, weights and order: each has other digits for validation."""


def split(seed: int) -> TrainingJobSpec:
    """The job of `SPLIT_TASK` with another seed."""
    return PLANS[SPLIT_TASK].spec(seed)


# --- few labels ------------------------------------------------------------------------------

FEW = PLANS["regression"]
FEW_KIND = "partly"
FEW_SHARE = 0.5
"""Of the time of other runs: there are ten of these."""
ANGLE: dict[str, Any] = {"name": "angle", "task": "Regression"}
VIEWS: dict[str, Any] = {"name": "views", "task": "ViewInvariance"}
FEW_METRIC = "angle/mae"
WITH, WITHOUT = "with", "without"


def few_labels(which: str, seed: int) -> TrainingJobSpec:
    """Angles, of which 5 % are known; `WITH` the other images' views, or `WITHOUT`."""
    return spec(FEW, [ANGLE, VIEWS] if which == WITH else [ANGLE], seed)


# --- three tasks -----------------------------------------------------------------------------

THREE_KIND = "everything"
TOGETHER, LONGER = "together", "together-longer"
"""In the time of one of `PARTS`, and in that of all."""
PARTS: dict[str, tuple[dict[str, Any], str]] = {
    "detection": (
        {"name": "boxes", "task": "ObjectDetection", "annotations": "boxes"},
        "boxes/map50",
    ),
    "segmentation": (
        {"name": "regions", "task": "SemanticSegmentation", "annotations": "panoptic"},
        "regions/miou",
    ),
    "classification": (
        {"name": "count", "task": "MulticlassClassification", "annotations": "count"},
        "count/accuracy",
    ),
}
"""Heads, and what is shown of each."""
METRICS = {which: metric for which, (_, metric) in PARTS.items()}
METRICS |= dict.fromkeys((TOGETHER, LONGER), "boxes/map50")
"""By run: the result that stands for it."""
_THREE = Plan(PLANS["detection"].task, THREE_KIND, "map50", neck=PYRAMID)


def three_tasks(which: str) -> TrainingJobSpec:
    """One of `PARTS`, or all of them: `TOGETHER`, `LONGER`."""
    chosen = [PARTS[which]] if which in PARTS else PARTS.values()
    return spec(_THREE, [head for head, _ in chosen])


def three_tasks_share(which: str) -> float:
    """Of the time of one run."""
    return len(PARTS) if which == LONGER else 1.0
