"""Multiclass classification: a file that maps each image to one of `categories`.

000.jpg: cat2
001.jpg: null     # not annotated
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sihl_api.tasks import Task
from sihl_trainer.data.documents import Value
from sihl_trainer.tasks.annotations import (
    Annotations,
    Format,
    annotation_entries,
    invalid,
    read_names,
    unknown_name,
)
from sihl_trainer.tasks.info import HeadInfo

if TYPE_CHECKING:
    from sihl_trainer.tasks.multiclass_classification.target import CategoryTarget


class CategoryAnnotations(Annotations):
    """An index into the categories by image."""

    def __init__(self, categories: dict[str, int]) -> None:
        self._categories = categories

    @property
    def names(self) -> Sequence[str]:
        """The images that have a category."""
        return list(self._categories)

    def target(self, name: str) -> CategoryTarget | None:
        """The image's category."""
        from sihl_trainer.tasks.multiclass_classification.target import CategoryTarget

        category = self._categories.get(name)
        return None if category is None else CategoryTarget(category)

    def fault(self, name: str, width: int, height: int) -> str | None:  # noqa: ARG002
        """Nothing: a category fits an image of any size."""
        return None


def read_info(fields: dict[str, Value], place: str) -> HeadInfo:
    """The categories, in the order of their indices."""
    return HeadInfo(Task.MULTICLASS_CLASSIFICATION, read_names(fields, "categories", place))


def read(path: Path, info: HeadInfo) -> CategoryAnnotations:
    """The categories in a file.

    Raises:
        BadData: Malformed, or a category that the metadata does not list; names file, line, image.
    """
    indices = {name: index for index, name in enumerate(info.categories)}
    found: dict[str, int] = {}
    for entry in annotation_entries(path):
        if entry.value is None:
            continue
        if not isinstance(entry.value, str):
            raise invalid(path, entry, "must be one category's name, or null if not annotated")
        if entry.value not in indices:
            raise invalid(path, entry, unknown_name(entry.value, info.categories))
        found[entry.key] = indices[entry.value]
    return CategoryAnnotations(found)


FORMAT = Format(read_info, read)
