"""Metric learning: a file that maps each image to one of `identities`.

000.jpg: id4
001.jpg: null     # not annotated

A validation set may have other identities than the training set: embeddings are for new ones.
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
    from sihl_trainer.tasks.metric_learning.target import IdentityTarget


class IdentityAnnotations(Annotations):
    """An index into the identities by image."""

    def __init__(self, identities: dict[str, int]) -> None:
        self._identities = identities

    @property
    def names(self) -> Sequence[str]:
        """The images that have an identity."""
        return list(self._identities)

    def target(self, name: str) -> IdentityTarget | None:
        """The image's identity."""
        from sihl_trainer.tasks.metric_learning.target import IdentityTarget

        identity = self._identities.get(name)
        return None if identity is None else IdentityTarget(identity)

    def fault(self, name: str, width: int, height: int) -> str | None:  # noqa: ARG002
        """Nothing: an identity fits an image of any size."""
        return None


def read_info(fields: dict[str, Value], place: str) -> HeadInfo:
    """The identities, in the order of their indices."""
    return HeadInfo(Task.METRIC_LEARNING, read_names(fields, "identities", place))


def read(path: Path, info: HeadInfo) -> IdentityAnnotations:
    """The identities in a file.

    Raises:
        BadData: Malformed, or an identity that the metadata does not list; names file, line, image.
    """
    indices = {name: index for index, name in enumerate(info.categories)}
    found: dict[str, int] = {}
    for entry in annotation_entries(path):
        if entry.value is None:
            continue
        if not isinstance(entry.value, str):
            raise invalid(path, entry, "must be one identity's name, or null if not annotated")
        if entry.value not in indices:
            text = unknown_name(entry.value, info.categories, "identity", "identities")
            raise invalid(path, entry, text)
        found[entry.key] = indices[entry.value]
    return IdentityAnnotations(found)


FORMAT = Format(read_info, read, open_names=True)
