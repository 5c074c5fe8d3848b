"""TIFF files of several pages: how masks and segments are annotated, and written."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence
from PIL.TiffImagePlugin import AppendingTiffWriter

from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.maps.files import invalid_map, opened_map

SUFFIXES = (".tiff", ".tif")
_GREY_MODES = ("1", "L", "I", "I;16", "I;16L", "I;16B", "I;16N")


def pages(path: Path) -> Iterator[tuple[int, Image.Image]]:
    """The decoded pages of a TIFF with their numbers from 1 on, each to be used before the next.

    Raises:
        BadData: Not a TIFF that can be decoded, or the pages differ in size.
    """
    with opened_map(path, "TIFF") as image:
        first = image.size
        for number, page in enumerate(ImageSequence.Iterator(image), start=1):
            if page.size != first:
                raise invalid_map(
                    path,
                    f"page {number} is {page.width} pixels wide and {page.height} high, page 1 "
                    f"{first[0]} and {first[1]}: save all pages at the size of one",
                )
            page.load()  # here, where it is told which file cannot be decoded
            yield number, page


def is_grey(page: Image.Image) -> bool:
    """Whether a page has one number a pixel, of whole ones."""
    return page.mode in _GREY_MODES


def grey(page: Image.Image) -> NDArray[Any]:
    """A grey page's numbers [h, w]."""
    return np.asarray(page)


def written(arrays: Iterable[NDArray[Any]]) -> bytes:
    """A TIFF of pages uint8 [h, w, 3], uint8 [h, w] or uint16 [h, w]; one at a time in memory."""
    file = io.BytesIO()
    with AppendingTiffWriter(file) as writer:
        for array in arrays:
            Image.fromarray(array).save(writer, "TIFF", compression="tiff_deflate")
            writer.newFrame()
        writer.finalize()
        return file.getvalue()


def hits(size: tuple[int, int], fit: Letterboxing) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which row and column of the input each of the original image's, (width, height), lies in."""
    place = fit.placement
    found = []
    for side, scale, start, own in (
        (size[1], place.scale_y, place.top, fit.size[1]),
        (size[0], place.scale_x, place.left, fit.size[0]),
    ):
        inside = ((np.arange(side) + 0.5) * scale).astype(np.intp).clip(max=own - 1)
        found.append(inside + start)
    return found[0], found[1]
