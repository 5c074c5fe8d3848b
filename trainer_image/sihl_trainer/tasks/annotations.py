"""What every format offers: the set's metadata read and checked, and the annotations by image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sihl_trainer.data.documents import Entry, Value, read_entries
from sihl_trainer.errors import BadData
from sihl_trainer.tasks.target import HeadInfo, Target


class Annotations(ABC):
    """The annotations of one set, by the image's file name."""

    @property
    @abstractmethod
    def names(self) -> Sequence[str]:
        """The images that are annotated; one that is mapped to null is not."""

    @abstractmethod
    def target(self, name: str) -> Target | None:
        """What an image is annotated with, in its own pixels; None: not annotated."""

    @abstractmethod
    def fault(self, name: str, width: int, height: int) -> str | None:
        """What is wrong with an image's annotation, now that its size in pixels is known.

        The text names the file, the image and the entry; None: nothing.
        """


@dataclass(frozen=True)
class Format:
    """How one task is annotated.

    Args:
        read_info: From a set's metadata fields and their place (for messages); raises BadData.
        read: From the annotations' file or folder and the set's info; raises BadData.
    """

    read_info: Callable[[dict[str, Value], str], HeadInfo]
    read: Callable[[Path, HeadInfo], Annotations]


def annotation_entries(path: Path) -> Iterator[Entry]:
    """The entries of an annotations file.

    Raises:
        BadData: As `read_entries`, or the path is missing or a folder.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is missing"
        raise BadData(
            "DatasetAnnotationsMissing",
            f"{path.name} {what}, but this task's annotations are one YAML or JSON file: add it, "
            "or correct `annotations` in the metadata",
        )
    return read_entries(path)


def invalid(path: Path, entry: Entry, what: str) -> BadData:
    """The error for an entry that is not what the format asks for."""
    return BadData("DatasetAnnotationInvalid", f"{path.name}, {entry.place}: {what}")


def read_names(fields: dict[str, Value], field: str, place: str) -> tuple[str, ...]:
    """A metadata field that lists distinct names.

    Raises:
        BadData: Not a list, empty, or with a name that is missing or there twice.
    """
    value = fields.get(field)
    if not isinstance(value, list) or not value:
        raise BadData(
            "DatasetMetadataInvalid", f"{place}: `{field}` must list at least one name: [cat, dog]"
        )
    names: list[str] = []
    for item in value:
        if not isinstance(item, str) or not item:
            raise BadData(
                "DatasetMetadataInvalid",
                f"{place}: `{field}` has {item!r}, which is no name: write one, or remove it",
            )
        if item in names:
            raise BadData(
                "DatasetMetadataInvalid",
                f"{place}: `{field}` has {item!r} twice: keep one of the two",
            )
        names.append(item)
    return tuple(names)


def unknown_name(name: str, known: Sequence[str]) -> str:
    """The text for a category that the metadata does not list."""
    shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    return (
        f"unknown category {name!r}; the metadata lists {shown}: correct it here, or add it to "
        "`categories` there"
    )
