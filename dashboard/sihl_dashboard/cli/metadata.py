"""A dataset's metadata as far as heads are held to it: names of annotation sets, and their tasks.

The trainer reads all of it, with what belongs to each task; this is a first look.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml

from sihl_api.model import Head
from sihl_api.tasks import Task, conversion_path, known_tasks, reachable, task_from_words
from sihl_dashboard.cli.findings import Finding, mend, ok

NAMES = ("metadata.yaml", "metadata.yml", "metadata.json")
LIMIT = 16 << 20
"""Bytes that the trainer reads of it at most."""
_MOST_NAMES = 20


class MetadataError(Exception):
    """It is malformed; the message names the field and the remedy."""


@dataclass(frozen=True)
class AnnotationSet:
    """One annotation of the images; without a source one of the images alone."""

    name: str
    task: Task
    source: str | None


def needs_metadata(heads: Sequence[Head]) -> bool:
    """Whether a dataset has to say what it is annotated with: not for images alone."""
    return any(not head.task.self_supervised or head.annotations for head in heads)


def read_sets(data: bytes, file: str) -> dict[str, AnnotationSet]:
    """The annotation sets by name.

    Raises:
        MetadataError: malformed, or it names no task or no annotations.
    """
    fields = _document(data, file)
    if "tasks" not in fields:
        single = _set(file, None, fields)
        return {single.name: single}
    if "task" in fields:
        raise MetadataError("has both `task` and `tasks`: a multitask dataset has only `tasks`")
    tasks = fields["tasks"]
    if not isinstance(tasks, dict) or not tasks:
        raise MetadataError("`tasks` must map the name of each annotation set to its task")
    return {str(name): _set(f"tasks.{name}", str(name), value) for name, value in tasks.items()}


def _document(data: bytes, file: str) -> Mapping[str, Any]:
    try:
        # Scalars stay as they are written: a set may be called `no` or `007`.
        found = json.loads(data) if file.endswith(".json") else yaml.load(data, yaml.BaseLoader)  # noqa: S506 (makes texts, lists and mappings only)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "malformed"
        raise MetadataError(f"is not YAML ({problem}{line}): correct it") from None
    except (ValueError, RecursionError) as error:
        raise MetadataError(f"cannot be read ({error}): correct it") from None
    if not isinstance(found, dict):
        raise MetadataError("is no mapping: write it as `task: object detection`")
    return found


def _set(place: str, name: str | None, fields: Any) -> AnnotationSet:
    where = f"{place}: " if name else ""
    words = fields.get("task") if isinstance(fields, dict) else None
    if not isinstance(words, str):
        raise MetadataError(f"{where}`task` is missing: write one of {known_tasks()}")
    try:
        task = task_from_words(words)
    except ValueError as error:
        raise MetadataError(f"{where}{error}") from None
    if task.self_supervised:
        return AnnotationSet(name or task.words, task, None)
    source = fields.get("annotations")
    if not isinstance(source, str) or not source.strip("/"):
        raise MetadataError(
            f"{where}`annotations` must name the annotations' file, e.g. annotations.yaml"
        )
    source = source.strip("/")
    return AnnotationSet(name or PurePosixPath(source).stem, task, source)


def fed(heads: Sequence[Head], sets: Mapping[str, AnnotationSet], split: str) -> list[Finding]:
    """For each head what feeds it, or why nothing does: the trainer's own rules."""
    return [_fed(head, sets, f"{split}: head {head.name}") for head in heads]


def _fed(head: Head, sets: Mapping[str, AnnotationSet], what: str) -> Finding:
    annotated = {name: each for name, each in sets.items() if each.source}
    unannotated = sets.keys() - annotated.keys()
    if head.task.self_supervised and head.annotations in (None, *unannotated):
        return ok(what, f"learns {head.task.words} from every image")
    known = ", ".join(
        f"{name!r} ({each.task.words})" for name, each in list(annotated.items())[:_MOST_NAMES]
    )
    if not annotated:
        return mend(
            what,
            f"learns {head.task.words}, and the dataset is not annotated for anything: change the "
            "head's task, or annotate the images",
        )
    if head.annotations is None and len(annotated) > 1:
        return mend(what, f"must say which `annotations` feed it; the dataset has {known}")
    name = head.annotations or next(iter(annotated))
    if name not in annotated:
        return mend(
            what, f"asks for annotations {name!r}; the dataset has {known}: name one of them"
        )
    task = annotated[name].task
    path = conversion_path(task, head.task)
    if path is None:
        can = ", ".join(each.words for each in reachable(task))
        return mend(
            what,
            f"learns {head.task.words}, but annotations {name!r} are for {task.words} and cannot "
            f"become it, only {can}: change the head's task or its annotations",
        )
    through = f", made of {task.words}" if task is not head.task else ""
    return ok(what, f"learns {head.task.words} from {name!r}{through}")
