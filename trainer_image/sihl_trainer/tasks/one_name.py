"""What annotations share that give an image one name: a category, an identity."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sihl_trainer.tasks.annotations import Annotations, annotation_entries, invalid
from sihl_trainer.tasks.contents import Contents, counted
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.listed import unknown_name

if TYPE_CHECKING:
    from sihl_trainer.tasks.target import Target


class OneName(Annotations):
    """An index into the names by image.

    Args:
        indices: By the image's file name.
    """

    def __init__(self, indices: dict[str, int]) -> None:
        self._indices = indices

    @property
    def names(self) -> Sequence[str]:
        """The images that have a name."""
        return list(self._indices)

    def target(self, name: str) -> Target | None:
        """The image's."""
        index = self._indices.get(name)
        return None if index is None else self.of(index)

    def contents(self, info: HeadInfo, images: Collection[str] | None = None) -> Contents:
        """Images of each name."""
        found = self._indices.items()
        return counted(
            [index for name, index in found if images is None or name in images], info.categories
        )

    def oddities(self) -> list[str]:
        """One name for all: whoever always says it is right."""
        if len(set(self._indices.values())) > 1:
            return []
        return [f"all {len(self._indices):,} images have the same name: nothing to tell apart"]

    @abstractmethod
    def of(self, index: int) -> Target:
        """The target of a name's index."""

    def fault(self, name: str, width: int, height: int) -> str | None:  # noqa: ARG002
        """Nothing: a name fits an image of any size."""
        return None


def read_indices(path: Path, info: HeadInfo, kind: str, field: str) -> dict[str, int]:
    """Which name each image of a file has.

    Args:
        path: The file.
        info: With the names that there are.
        kind: What such a name is, for messages: category.
        field: Where the metadata lists them: categories.

    Raises:
        BadData: Malformed, or a name that the metadata does not list; names file, line, image.
    """
    indices = {name: index for index, name in enumerate(info.categories)}
    found: dict[str, int] = {}
    for entry in annotation_entries(path):
        if entry.value is None:
            continue
        if not isinstance(entry.value, str):
            turned = entry.key in indices
            raise invalid(
                path,
                entry,
                f"must be one {kind}'s name, or null if not annotated"
                + (f"; write the {kind} behind each image, not the other way round" * turned),
            )
        if entry.value not in indices:
            raise invalid(path, entry, unknown_name(entry.value, info.categories, kind, field))
        found[entry.key] = indices[entry.value]
    return found
