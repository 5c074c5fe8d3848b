"""A dataset's metadata: which annotations it has, and for which tasks.

A single-task dataset says `task`, `annotations` and what belongs to the task (`categories`); its
one annotation set is called by the stem of the annotations' name. A multitask dataset says the
same under `tasks`, once for each set, by the set's name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath

from sihl_api.tasks import Task, known_tasks, task_from_words
from sihl_trainer.data.documents import METADATA_LIMIT, Value, read_entries
from sihl_trainer.data.foreign import in_metadata, in_names
from sihl_trainer.data.misplaced import metadata_told
from sihl_trainer.data.names import fault_in_name
from sihl_trainer.errors import BadData
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.rooms import format_of

METADATA_NAMES = ("metadata.yaml", "metadata.yml", "metadata.json")
IMAGES = "images"
_FIELDS = (
    "task", "annotations", "categories", "labels", "identities", "keypoints", "symmetry", "tokens",
    "range", "scale", "colors", "stuff",
)  # fmt: skip
_WORDS = " or ".join(METADATA_NAMES)


@dataclass(frozen=True)
class AnnotationSet:
    """One annotation of the images; `source` is its file or folder, relative to the dataset's."""

    name: str
    task: Task
    source: PurePosixPath
    info: HeadInfo


@dataclass(frozen=True)
class Metadata:
    """The annotation sets of a dataset, by name; none where it is images alone.

    Args:
        file: Where it stands.
        sets: Those with annotations.
        unannotated: Names under `tasks` of what is learnt from the images alone.
    """

    file: str
    sets: dict[str, AnnotationSet]
    unannotated: frozenset[str] = frozenset()


def metadata_name(names: Iterable[str], place: str, folders: Iterable[str] = ()) -> str:
    """Which of the names in a dataset's folder is its metadata's.

    Args:
        names: Of its files.
        place: The folder, for messages.
        folders: In it; other tools' datasets are known by theirs.

    Raises:
        BadData: None of them, or more than one.
    """
    names = set(names)
    found = sorted(names.intersection(METADATA_NAMES))
    if not found:
        folders = list(folders)
        text = f"no {_WORDS} in {place}: the dataset needs one, next to {IMAGES}/"
        if foreign := in_names([*names, *folders]):
            text += f". It looks like {foreign}"
        elif told := metadata_told(METADATA_NAMES, names, folders):
            text += f"; {told}"
        raise BadData("DatasetMetadataMissing", text)
    if len(found) > 1:
        raise BadData(
            "DatasetMetadataAmbiguous",
            f"{place} has {' and '.join(found)}: keep the one that is meant",
        )
    return found[0]


def read_metadata(folder: Path) -> Metadata:
    """The metadata in a dataset's folder.

    Raises:
        BadData: Missing, malformed, or at odds with the schema; names file and field.
    """
    inside = list(folder.iterdir())
    name = metadata_name(
        (path.name for path in inside if path.is_file()),
        str(folder),
        (path.name for path in inside if path.is_dir()),
    )
    fields = {entry.key: entry.value for entry in read_entries(folder / name, METADATA_LIMIT)}
    if "tasks" not in fields:
        single = _annotation_set(name, None, fields)
        return Metadata(name, {single.name: single} if single else {})
    if "task" in fields:
        raise _fault(name, "has both `task` and `tasks`: a multitask dataset has only `tasks`")
    tasks = fields["tasks"]
    if not isinstance(tasks, dict) or not tasks:
        raise _fault(name, "`tasks` must map the name of each annotation set to its task")
    sets = {set_name: _annotation_set(name, set_name, value) for set_name, value in tasks.items()}
    annotated = {set_name: found for set_name, found in sets.items() if found}
    return Metadata(name, annotated, frozenset(sets.keys() - annotated.keys()))


def _annotation_set(file: str, name: str | None, fields: Value) -> AnnotationSet | None:
    """What metadata says of one set; None for a self-supervised task, which has no annotations."""
    place = f"{file}: tasks.{name}" if name else file
    if not isinstance(fields, dict):
        raise _fault(place, "must be a mapping with `task` and `annotations`")
    _check_spelling(place, fields)
    words = fields.get("task")
    if not isinstance(words, str):
        told = in_metadata(fields)
        text = f"`task` is missing: write one of {known_tasks()}"
        raise _fault(place, f"{text}. It looks like {told}" if told else text)
    try:
        task = task_from_words(words)
    except ValueError as error:
        raise _fault(place, str(error)) from None
    if task.self_supervised:
        return None
    source = _source(place, fields.get("annotations"))
    info = format_of(task).read_info(fields, place)
    return AnnotationSet(name or source.stem, task, source, info)


def _check_spelling(place: str, fields: Iterable[str]) -> None:
    """Whether each key is a field's name, or nobody's: what a dataset's people note is theirs."""
    for key in fields:
        if key in _FIELDS:
            continue
        if close := get_close_matches(key.lower(), _FIELDS, n=1, cutoff=0.8):
            raise _fault(place, f"unknown field `{key}`: did you mean `{close[0]}`?")


def _source(place: str, value: Value) -> PurePosixPath:
    if not isinstance(value, str) or not value:
        raise _fault(place, "`annotations` must name the annotations' file, e.g. annotations.yaml")
    parts = value.removeprefix("./").rstrip("/").split("/")
    for part in parts:
        if fault := fault_in_name(part) or _fault_in_part(part):
            raise _fault(
                place,
                f"`annotations: {value!r}` cannot be a path in the dataset: {fault}; write one "
                "such as annotations.yaml",
            )
    if parts[0] == IMAGES or parts[0] in METADATA_NAMES:
        raise _fault(
            place,
            f"`annotations: {value}` cannot be the metadata or lie in {IMAGES}/: move them to a "
            "file beside it",
        )
    return PurePosixPath(*parts)


def _fault_in_part(part: str) -> str | None:
    if "\\" in part:
        return f"{part!r} has a backslash, and folders are parted by /"
    return f"{part!r} begins or ends with a space" if part != part.strip() else None


def _fault(place: str, what: str) -> BadData:
    return BadData("DatasetMetadataInvalid", f"{place}: {what}")
