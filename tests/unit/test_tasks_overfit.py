"""Every head learns eight images by heart, in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from sihl_api.tasks import Task
from tests.support.overfit import digits, overfitted


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "kind", "metric"),
    [
        (Task.MULTICLASS_CLASSIFICATION, "classification", "accuracy"),
        (Task.MULTILABEL_CLASSIFICATION, "multilabel", "f1"),
        (Task.METRIC_LEARNING, "metric-learning", "recall1"),
        (Task.REGRESSION, "regression", "r2"),
        (Task.OBJECT_DETECTION, "detection", "map"),
    ],
)
def test_a_head_learns_eight_images_by_heart(
    tmp_path: Path, task: Task, kind: str, metric: str
) -> None:
    shown = digits(kind, tmp_path, task)
    assert overfitted(shown.info, shown.images, shown.targets)[metric] > 0.95
