"""Metric learning: a file that maps each image to one of `identities`.

000.jpg: id4
001.jpg: null     # not annotated

A validation set may have other identities than the training set: embeddings are for new ones.
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
    from sihl_trainer.tasks.metric_learning.target import IdentityTarget


class IdentityAnnotations(OneName):
    """An index into the identities by image."""

    def of(self, index: int) -> IdentityTarget:
        """The identity."""
        from sihl_trainer.tasks.metric_learning.target import IdentityTarget

        return IdentityTarget(index)


def read_info(fields: dict[str, Value], place: str) -> HeadInfo:
    """The identities, in the order of their indices."""
    return HeadInfo(Task.METRIC_LEARNING, read_names(fields, "identities", place))


def read(path: Path, info: HeadInfo) -> IdentityAnnotations:
    """The identities in a file.

    Raises:
        BadData: Malformed, or an identity that the metadata does not list; names file, line, image.
    """
    return IdentityAnnotations(read_indices(path, info, "identity", "identities"))


FORMAT = Format(read_info, read, open_names=True)
