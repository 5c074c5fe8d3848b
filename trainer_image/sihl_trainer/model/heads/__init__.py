"""Heads by task: a further task is a further module and a further line here."""

from __future__ import annotations

from sihl_api.tasks import Task
from sihl_trainer.model.heads.base import Features, Head
from sihl_trainer.model.heads.multiclass_classification import MulticlassClassification
from sihl_trainer.model.heads.object_detection import ObjectDetection

__all__ = ["HEADS", "Features", "Head"]

HEADS: dict[Task, type[Head]] = {
    head.task: head for head in (MulticlassClassification, ObjectDetection)
}
