"""Multiclass classification: a file that maps each image to one of `categories`.

000.jpg: cat2
001.jpg: null     # not annotated
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sihl_api.tasks import Task
from sihl_trainer.data.documents import Value
from sihl_trainer.tasks.annotations import Format
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.listed import read_names
from sihl_trainer.tasks.one_name import OneName, read_indices

if TYPE_CHECKING:
    from sihl_trainer.tasks.multiclass_classification.target import CategoryTarget


class CategoryAnnotations(OneName):
    """An index into the categories by image."""

    def of(self, index: int) -> CategoryTarget:
        """The category."""
        from sihl_trainer.tasks.multiclass_classification.target import CategoryTarget

        return CategoryTarget(index)


def read_info(fields: dict[str, Value], place: str) -> HeadInfo:
    """The categories, in the order of their indices."""
    return HeadInfo(Task.MULTICLASS_CLASSIFICATION, read_names(fields, "categories", place))


def read(path: Path, info: HeadInfo) -> CategoryAnnotations:
    """The categories in a file.

    Raises:
        BadData: Malformed, or a category that the metadata does not list; names file, line, image.
    """
    return CategoryAnnotations(read_indices(path, info, "category", "categories"))


FORMAT = Format(read_info, read)
