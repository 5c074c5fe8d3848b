"""Panoptic segmentation: a folder with a TIFF of two pages for each image.

The first page has each pixel in its category's colour, or black to be ignored; the second is grey
and says which object a pixel belongs to, by whatever numbers. A segment is the pixels of one
category and one number: where two categories share a number, these are two segments.

    categories: [road, car]
    colors: {road: [128, 64, 128], car: [0, 0, 142]}
    stuff: [road]      # optional: what cannot be counted is one segment an image, whatever its
                       # numbers; all other categories are things
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from sihl_api.tasks import Task
from sihl_trainer.data.documents import Value
from sihl_trainer.errors import BadData
from sihl_trainer.tasks.annotations import Annotations, Format
from sihl_trainer.tasks.contents import Contents, Occurrences
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.listed import unknown_name
from sihl_trainer.tasks.maps.files import MapFolder, fault_in_aspect, invalid_map, map_folder
from sihl_trainer.tasks.maps.palette import ColorInfo, Palette, palette_of, read_palette, rgb
from sihl_trainer.tasks.masks.pages import SUFFIXES, grey, is_grey, pages

if TYPE_CHECKING:
    from sihl_trainer.tasks.panoptic_segmentation.target import PanopticTarget

MOST_SEGMENTS = 2**15 - 1
"""Maps of segments have 16 bits at most."""
_FORMAT = "save one page of the categories' colours and one grey page of ids"


@dataclass(frozen=True)
class PanopticInfo(ColorInfo):
    """Categories with the colours that they have in maps, and which of them are stuff.

    Args:
        stuff: Names of categories whose pixels in an image are one segment.
    """

    stuff: tuple[str, ...] = ()

    def settings(self) -> dict[str, Any]:
        """What a head keeps of it, as JSON has it."""
        return super().settings() | {"stuff": list(self.stuff)}

    def as_trained(self, trained: HeadInfo) -> Self:
        """A validation set's info: what is stuff in training is so there."""
        assert isinstance(trained, PanopticInfo)
        return replace(super().as_trained(trained), stuff=trained.stuff)


@dataclass(frozen=True)
class PanopticAnnotations(Annotations):
    """A file an image, which is read whenever its segments are asked for.

    Args:
        folder: The files'.
        palette: The categories'.
        stuff: Indices of categories that are stuff.
        occurrences: Of segments' categories, in the files that were read so far.
    """

    folder: MapFolder
    palette: Palette
    stuff: frozenset[int]
    occurrences: Occurrences = field(default_factory=Occurrences, compare=False)

    @property
    def names(self) -> Sequence[str]:
        """The images that have a file."""
        return self.folder.names

    def beside(self, images: Sequence[str]) -> Self:
        """The segments of a dataset with these images."""
        return replace(self, folder=self.folder.beside(images))

    def target(self, name: str) -> PanopticTarget | None:
        """The image's segments.

        Raises:
            BadData: The file is not what the format asks for.
        """
        import torch

        from sihl_trainer.tasks.panoptic_segmentation.target import PanopticTarget

        if (path := self.folder.file(name)) is None:
            return None
        segments, categories = self._segments(path)
        return PanopticTarget(torch.from_numpy(segments), torch.from_numpy(categories))

    def fault(self, name: str, width: int, height: int) -> str | None:
        """A file that is not what the format asks for, or another aspect ratio than its image's."""
        if (path := self.folder.file(name)) is None:
            return None
        try:
            segments, categories = self._segments(path)
        except BadData as error:
            return error.message
        rows, columns = segments.shape
        self.occurrences.add(name, categories)
        return fault_in_aspect(path, (columns, rows), (width, height))

    @property
    def fullest(self) -> int:
        """Segments of the image that has most, of those that were read so far."""
        return self.occurrences.most

    def contents(self, info: HeadInfo, images: Collection[str] | None = None) -> Contents:
        """Segments of each category."""
        return self.occurrences.by_name(info.categories, images)

    def _segments(self, path: Path) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Numbers of segments [h, w], 0 to ignore, and the categories of segment 1 to N."""
        colors, ids = _pages(path)
        labels = self.palette.labels(colors, path)
        codes = ((labels.astype(np.int64) << 32) | (ids.astype(np.int64) & 0xFFFFFFFF)).ravel()
        # Maps are runs of one segment, of which there are far fewer than pixels.
        starts = np.append(0, np.flatnonzero(codes[1:] != codes[:-1]) + 1)
        runs = codes[starts]
        categories = (runs >> 32) - 1
        runs[categories < 0] = -1
        for index in self.stuff:
            runs[categories == index] = (index + 1) << 32
        keys, places = np.unique(runs, return_inverse=True)
        if ignored := bool(keys[0] < 0):
            keys = keys[1:]
        if len(keys) > MOST_SEGMENTS:
            raise invalid_map(
                path,
                f"has {len(keys):,} segments: at most {MOST_SEGMENTS:,} are read; give an object's "
                "pixels one id (smooth edges and lossy compression mix them)",
            )
        kind = np.uint8 if len(keys) < 2**8 else np.int16
        numbers = (places.reshape(-1) + (not ignored)).astype(kind)
        segments = np.repeat(numbers, np.diff(starts, append=len(codes))).reshape(labels.shape)
        return segments, (keys >> 32) - 1


def _pages(path: Path) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """The colours [h, w, 3] and the ids [h, w] of a file.

    Some writers make three grey pages of an array whose channels come first.
    """
    found: list[NDArray[Any]] = []
    all_grey = True
    for number, page in pages(path):
        if number == 1 and not is_grey(page):
            all_grey = False
            found.append(rgb(page, path))
            continue
        if not is_grey(page):
            raise invalid_map(
                path, f"page {number} has mode {page.mode}, and ids are grey, one number a pixel: "
                "save it as grey with 8, 16 or 32 bits"
            )  # fmt: skip
        found.append(grey(page))
    if all_grey and len(found) == 4 and all(each.dtype == np.uint8 for each in found[:3]):
        return np.stack(found[:3], -1), found[3]
    if all_grey:
        raise invalid_map(path, f"has no page of colours, but {len(found)} grey ones: {_FORMAT}")
    if len(found) != 2:
        what = "has no page of ids" if len(found) == 1 else f"has {len(found)} pages"
        raise invalid_map(path, f"{what}: {_FORMAT}")
    return found[0], found[1]


def read_info(fields: dict[str, Value], place: str) -> PanopticInfo:
    """The categories, in the order of their indices, their colours, and which are stuff.

    Raises:
        BadData: As `read_palette`; `stuff` is no list of distinct categories.
    """
    categories, colors = read_palette(fields, place)
    value = fields.get("stuff")
    stuff = [] if value is None else value
    if not isinstance(stuff, list):
        raise _fault(place, "`stuff` must list categories that cannot be counted: [sky, road]")
    names: list[str] = []
    for name in stuff:
        if not isinstance(name, str) or name not in categories:
            raise _fault(place, f"`stuff` has an {unknown_name(str(name), categories)}")
        if name in names:
            raise _fault(place, f"`stuff` has {name!r} twice: keep one of the two")
        names.append(name)
    return PanopticInfo(Task.PANOPTIC_SEGMENTATION, categories, colors, tuple(names))


def read(path: Path, info: HeadInfo) -> PanopticAnnotations:
    """The files in a folder.

    Raises:
        BadData: There is none, or one that is no TIFF.
    """
    assert isinstance(info, PanopticInfo)
    stuff = frozenset(info.categories.index(name) for name in info.stuff)
    return PanopticAnnotations(map_folder(path, SUFFIXES), palette_of(info), stuff)


def _fault(place: str, what: str) -> BadData:
    return BadData("DatasetMetadataInvalid", f"{place}: {what}")


FORMAT = Format(read_info, read)
