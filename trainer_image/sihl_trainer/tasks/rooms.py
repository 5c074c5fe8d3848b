"""Where a task's own code lies: a folder of its name, whose modules all tasks have alike.

Found by name, so that a further task is a further folder and a line in `sihl_api.tasks`, and
imported when asked for, so that a fetch, which asks for formats only, imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sihl_api.tasks import Task
from sihl_trainer.tasks.annotations import Format

if TYPE_CHECKING:
    from sihl_trainer.tasks.head import Head
    from sihl_trainer.tasks.picture import Painter


def format_of(task: Task) -> Format:
    """How a supervised task is annotated."""
    found = _module(task, "annotations").FORMAT
    assert isinstance(found, Format)
    return found


def head_of(task: Task) -> type[Head]:
    """What learns a task."""
    found: type[Head] = _module(task, "head").HEAD
    return found


def painter_of(task: Task) -> type[Painter]:
    """What draws a task's targets and predictions."""
    found: type[Painter] = _module(task, "picture").PAINTER
    return found


def _module(task: Task, name: str) -> Any:
    return import_module(f"{__package__}.{task.words.replace(' ', '_')}.{name}")
