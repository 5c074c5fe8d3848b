"""Multilabel classification: a file that maps each image to those of `labels` that it has.

000.jpg: [lab2, lab3]
001.jpg: []       # no label
002.jpg: null     # not annotated
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sihl_api.tasks import Task
from sihl_trainer.data.documents import Value
from sihl_trainer.tasks.annotations import Annotations, Format, annotation_entries, invalid
from sihl_trainer.tasks.contents import Contents, counted, within
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.listed import read_names, unknown_name

if TYPE_CHECKING:
    from sihl_trainer.tasks.multilabel_classification.target import LabelsTarget


class LabelAnnotations(Annotations):
    """The labels of all images, one after the other in one array.

    Args:
        spans: By image, where in the array its labels begin and end.
        labels: int64 [M], ascending within an image.
    """

    def __init__(self, spans: dict[str, tuple[int, int]], labels: np.ndarray) -> None:
        self._spans = spans
        self._labels = labels

    @property
    def names(self) -> Sequence[str]:
        """The images that are annotated, if only with no label."""
        return list(self._spans)

    def target(self, name: str) -> LabelsTarget | None:
        """The image's labels."""
        import torch

        from sihl_trainer.tasks.multilabel_classification.target import LabelsTarget

        if (span := self._spans.get(name)) is None:
            return None
        return LabelsTarget(torch.from_numpy(self._labels[slice(*span)].copy()))

    def contents(self, info: HeadInfo, images: Collection[str] | None = None) -> Contents:
        """Images of each label."""
        return counted(within(self._labels, self._spans, images), info.categories)

    def fault(self, name: str, width: int, height: int) -> str | None:  # noqa: ARG002
        """Nothing: labels fit an image of any size."""
        return None


def read_info(fields: dict[str, Value], place: str) -> HeadInfo:
    """The labels, in the order of their indices."""
    return HeadInfo(Task.MULTILABEL_CLASSIFICATION, read_names(fields, "labels", place))


def read(path: Path, info: HeadInfo) -> LabelAnnotations:
    """The labels in a file.

    Raises:
        BadData: Malformed, a label that the metadata does not list, or one twice; names file, line,
            image and label.
    """
    indices = {name: index for index, name in enumerate(info.categories)}
    spans: dict[str, tuple[int, int]] = {}
    labels = array("q")
    for entry in annotation_entries(path):
        if entry.value is None:
            continue
        if not isinstance(entry.value, list):
            raise invalid(
                path,
                entry,
                "must be a list of labels, if only of one: [label]; [] for none, null if not "
                "annotated",
            )
        found = _indices(entry.value, indices, info.categories)
        if isinstance(found, str):
            raise invalid(path, entry, found)
        spans[entry.key] = (len(labels), len(labels) + len(found))
        labels.extend(sorted(found))
    return LabelAnnotations(spans, np.array(labels, dtype=np.int64))


def _indices(
    items: list[Value], indices: Mapping[str, int], known: Sequence[str]
) -> set[int] | str:
    """The indices that an entry's labels have, or what is wrong with it."""
    found: set[int] = set()
    for count, item in enumerate(items, start=1):
        if not isinstance(item, str):
            return f"label {count}: must be one label's name; write it, or take it out"
        if item not in indices:
            return f"label {count}: {unknown_name(item, known, 'label', 'labels')}"
        if indices[item] in found:
            return f"label {count}: {item!r} a second time; keep one of the two"
        found.add(indices[item])
    return found


FORMAT = Format(read_info, read)
