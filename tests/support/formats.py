"""Formats by themselves: one annotations file, without a dataset around it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from sihl_trainer.tasks.annotations import Annotations
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.rooms import format_of
from sihl_trainer.tasks.target import Target

IMAGE = "0.jpg"


def read_text(info: HeadInfo, text: str, name: str = "annotations.yaml") -> Annotations:
    """What the task's own format reads in a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text)
        return format_of(info.task).read(path, info)


def read_back(info: HeadInfo, written: Any) -> Target | None:
    """A prediction that a painter has written, read as an image's annotation."""
    text = json.dumps({IMAGE: written})
    return read_text(info, text, "annotations.json").target(IMAGE)
