"""Depth estimation: a folder with a grey PNG of 8 or 16 bits for each image, of the image's stem.

The metadata gives the range that all depths lie in, 0 or more, and what a step of the maps is in
its unit, unless that is 1. A pixel of 0 is not known:

    range: [0.5, 10]     # metres
    scale: 0.001         # maps in millimetres
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import ImageOps
from PIL.ImageFile import ImageFile

from sihl_api.tasks import Task
from sihl_trainer.data.documents import Value, number
from sihl_trainer.errors import BadData
from sihl_trainer.tasks.annotations import Annotations, Format
from sihl_trainer.tasks.contents import Contents, Spread
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.maps.files import (
    MapFolder,
    check_rows,
    fault_in_aspect,
    invalid_map,
    map_folder,
    opened_map,
)

if TYPE_CHECKING:
    from sihl_trainer.tasks.depth_estimation.target import DepthTarget

_KINDS = ("L", "I;16", "I;16B", "I;16L", "I;16N", "I")
"""How Pillow calls grey of 8 and 16 bits in a file; grey of fewer it would stretch to 8."""
_ROUNDING = 1e-6  # of a step
_MOST = 2**16 - 1
_LEAST = 1e-30  # and its inverse the most: what is learnt in single precision
_NARROWEST = 1e-4  # of the nearest: the logarithm still tells depths apart
_EVERY = 4
"""Of rows and columns, for the histogram: it is not worth more time than the map's decoding."""


@dataclass(frozen=True)
class DepthInfo(HeadInfo):
    """What depths there are. A validation set keeps its own.

    Args:
        nearest, farthest: Both can occur; the nearest may be 0.
        scale: What a step of a map is in their unit.
        trained: Those of the training set, where this is a validation set's: the head predicts
            nothing beyond them.
    """

    nearest: float = 0.0
    farthest: float = 1.0
    scale: float = 1.0
    trained: tuple[float, float] | None = None

    def as_trained(self, trained: HeadInfo) -> Self:
        """A validation set's info: depths must lie in both sets' ranges."""
        assert isinstance(trained, DepthInfo)
        return replace(self, trained=(trained.nearest, trained.farthest))

    @property
    def steps(self) -> tuple[int, int]:
        """Least and greatest value of a map."""
        nearest, farthest = self.trained or (self.nearest, self.farthest)
        return (
            max(1, math.ceil(max(nearest, self.nearest) / self.scale - _ROUNDING)),
            math.floor(min(min(farthest, self.farthest) / self.scale + _ROUNDING, _MOST)),
        )

    def outside(self, depth: float) -> str:
        """Which range a depth is out of, and what to do."""
        meant = "`scale`, which is what a value of 1 stands for"
        if self.trained and self.nearest <= depth <= self.farthest:
            return (
                f"outside the training dataset's range {_shown(*self.trained)}, beyond which the "
                f"head predicts nothing: correct the map, or in the metadata {meant}, or widen "
                "`range` there"
            )
        return (
            f"outside the range {_shown(self.nearest, self.farthest)}: correct the map, or in the "
            f"metadata `range`, or {meant}"
        )


class DepthAnnotations(Annotations):
    """The maps of all images, read when they are asked for."""

    def __init__(self, folder: MapFolder, info: DepthInfo) -> None:
        self._folder = folder
        self._info = info
        self._spread = Spread(info.nearest, info.farthest)

    @property
    def names(self) -> Sequence[str]:
        """The images that have a map."""
        return self._folder.names

    def beside(self, images: Sequence[str]) -> DepthAnnotations:
        """The maps of these images."""
        return DepthAnnotations(self._folder.beside(images), self._info)

    def target(self, name: str) -> DepthTarget | None:
        """The image's map.

        Raises:
            BadData: It cannot be read; names file, pixel and value.
        """
        import torch

        from sihl_trainer.tasks.depth_estimation.target import DepthTarget

        if (path := self._folder.file(name)) is None:
            return None
        return DepthTarget(torch.from_numpy(read_steps(path, self._info)), self._info.scale)

    def fault(self, name: str, width: int, height: int) -> str | None:
        """A map that cannot be read, or that has another aspect ratio than its image."""
        if (path := self._folder.file(name)) is None:
            return None
        try:
            steps = read_steps(path, self._info)
            check_rows(path)
        except BadData as error:
            return str(error)
        rows, columns = steps.shape
        some = steps[::_EVERY, ::_EVERY]
        self._spread.add(some[some > 0] * self._info.scale)
        return fault_in_aspect(path, (columns, rows), (width, height))

    def oddities(self) -> list[str]:
        """Maps without a pixel that is known."""
        known = any(self._spread.histogram().counts)
        return [] if known else ["no map has a pixel that is known (0 is not): nothing to learn"]

    def contents(
        self,
        info: HeadInfo,  # noqa: ARG002
        images: Collection[str] | None = None,  # noqa: ARG002
    ) -> Contents:
        """How depths of all images are spread over the range."""
        return self._spread.histogram()


def read_steps(path: Path, info: DepthInfo) -> NDArray[Any]:
    """The values of a map, uint8 or int32 [h, w]; 0 where nothing is known.

    Raises:
        BadData: No grey PNG of 8 or 16 bits that can be decoded, or a value out of range.
    """
    with opened_map(path, "PNG") as image:
        assert isinstance(image, ImageFile)
        if (kind := image.tile[0][3]) not in _KINDS:
            raise invalid_map(path, f"has pixels of kind {kind}: save it as grey of 8 or 16 bits")
        upright = np.array(ImageOps.exif_transpose(image))
    steps: NDArray[Any] = upright if upright.dtype == np.uint8 else upright.astype(np.int32)
    least, most = info.steps
    outside = (steps != 0) & ((steps < least) | (steps > most))
    if outside.any():
        row, column = np.unravel_index(int(outside.argmax()), steps.shape)
        value = int(steps[row, column])
        raise invalid_map(
            path,
            f"has depth {value * info.scale:g} (value {value}) at x {column}, y {row}, "
            f"{info.outside(value * info.scale)}",
        )
    return steps


def read_info(fields: dict[str, Value], place: str) -> DepthInfo:
    """The range of depths, and what a step of the maps is."""
    value = fields.get("range")
    ends = [number(end) for end in value] if isinstance(value, list) else []
    known = [end for end in ends if end is not None]
    if len(ends) != 2 or len(known) != 2 or not 0 <= known[0] < known[1]:
        raise BadData(
            "DatasetMetadataInvalid",
            f"{place}: `range` must be the least and the greatest depth, 0 or more: [0.5, 10]",
        )
    scale = number(fields.get("scale", "1"))
    if scale is None or scale <= 0:
        raise BadData(
            "DatasetMetadataInvalid",
            f"{place}: `scale` must be what a value of 1 in a map stands for in the unit of "
            "`range`, more than 0: 0.001 for millimetres where it is in metres",
        )
    info = DepthInfo(Task.DEPTH_ESTIMATION, nearest=known[0], farthest=known[1], scale=scale)
    if text := _fault_in_range(info):
        raise BadData("DatasetMetadataInvalid", f"{place}: {text}")
    return info


def _fault_in_range(info: DepthInfo) -> str | None:
    """Why no map could say, or no head learn, depths of a range; None: nothing."""
    nearest, farthest, scale = info.nearest, info.farthest, info.scale
    ends = f"`range` {_shown(nearest, farthest)}"
    if not _LEAST <= farthest <= 1 / _LEAST or 0 < nearest < _LEAST:
        return f"{ends} has an end beyond {_LEAST:g} or {1 / _LEAST:g}: take another unit"
    if farthest < nearest * (1 + _NARROWEST):
        return f"{ends} is too narrow: write the least and the greatest depth that occur"
    if farthest < scale * (1 - _ROUNDING) or nearest > scale * (_MOST + _ROUNDING):
        return (
            f"no value of a map, from 1 to {_MOST}, lies within {ends} where 1 stands for "
            f"{scale:g}: correct `range`, or `scale`"
        )
    return None


def _shown(nearest: float, farthest: float) -> str:
    return f"[{nearest:g}, {farthest:g}]"


def read(path: Path, info: HeadInfo) -> DepthAnnotations:
    """The maps in a folder.

    Raises:
        BadData: No such folder, or two files for one image.
    """
    assert isinstance(info, DepthInfo)
    return DepthAnnotations(map_folder(path, (".png",)), info)


FORMAT = Format(read_info, read)
