"""How each task is annotated: one module a format, registered by task.

A further task is a further module and a further line here.
"""

from __future__ import annotations

from sihl_api.tasks import Task
from sihl_trainer.data.formats import boxes, categories
from sihl_trainer.data.formats.base import Annotations, Format

__all__ = ["FORMATS", "Annotations", "Format"]

FORMATS: dict[Task, Format] = {
    Task.MULTICLASS_CLASSIFICATION: Format(categories.read_info, categories.read),
    Task.OBJECT_DETECTION: Format(boxes.read_info, boxes.read),
}
