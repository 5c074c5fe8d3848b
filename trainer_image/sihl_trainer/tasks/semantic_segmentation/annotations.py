"""Semantic segmentation: a folder with a PNG for each image, of the image's stem.

Each pixel has the colour of its category, as the metadata lists them, or is black to be ignored:

    categories: [road, tree]
    colors: {road: [128, 64, 128], tree: [107, 142, 35]}
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sihl_api.model import Head
from sihl_api.tasks import Task
from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.data.documents import Value
from sihl_trainer.errors import BadData
from sihl_trainer.tasks.annotations import Annotations, Format
from sihl_trainer.tasks.contents import Contents, Occurrences
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.maps.files import MapFolder, check_rows, fault_in_aspect, map_folder
from sihl_trainer.tasks.maps.palette import ColorInfo, Palette, colored, palette_of, read_palette

if TYPE_CHECKING:
    from sihl_trainer.tasks.semantic_segmentation.target import SemanticTarget


class SemanticAnnotations(Annotations):
    """The maps of all images, read when they are asked for."""

    def __init__(self, folder: MapFolder, palette: Palette) -> None:
        self._folder = folder
        self._palette = palette
        self._occurrences = Occurrences()

    @property
    def names(self) -> Sequence[str]:
        """The images that have a map."""
        return self._folder.names

    def beside(self, images: Sequence[str]) -> SemanticAnnotations:
        """The maps of these images."""
        return SemanticAnnotations(self._folder.beside(images), self._palette)

    def target(self, name: str) -> SemanticTarget | None:
        """The image's map.

        Raises:
            BadData: It cannot be read; names file, pixel and colour.
        """
        import torch

        from sihl_trainer.tasks.semantic_segmentation.target import SemanticTarget

        if (path := self._folder.file(name)) is None:
            return None
        return SemanticTarget(torch.from_numpy(colored(path, self._palette)))

    def fault(self, name: str, width: int, height: int) -> str | None:
        """A map that cannot be read, or that has another aspect ratio than its image."""
        if (path := self._folder.file(name)) is None:
            return None
        try:
            labels = colored(path, self._palette)
            check_rows(path)
        except BadData as error:
            return str(error)
        rows, columns = labels.shape
        occurring = np.flatnonzero(np.bincount(labels.ravel())) - 1
        self._occurrences.add(name, occurring[occurring >= 0])
        return fault_in_aspect(path, (columns, rows), (width, height))

    def contents(self, info: HeadInfo, images: Collection[str] | None = None) -> Contents:
        """Images in which each category occurs."""
        return self._occurrences.by_name(info.categories, images)

    def unsuited(self, head: Head, spec: TrainingJobSpec) -> str | None:  # noqa: ARG002
        """Fewer than two categories occur, so that there is nothing to tell apart."""
        if head.task is not Task.SEMANTIC_SEGMENTATION or len(self._palette) > 1:
            return None
        return (
            "only one category has a colour, and black is ignored: there is nothing to learn; "
            "give what is around it a category and a colour of its own in the metadata"
        )


def read_info(fields: dict[str, Value], place: str) -> ColorInfo:
    """The categories, in the order of their indices, and their colours."""
    return ColorInfo(Task.SEMANTIC_SEGMENTATION, *read_palette(fields, place))


def read(path: Path, info: HeadInfo) -> SemanticAnnotations:
    """The maps in a folder.

    Raises:
        BadData: No such folder, or two files for one image.
    """
    return SemanticAnnotations(map_folder(path, (".png",)), palette_of(info))


FORMAT = Format(read_info, read)
