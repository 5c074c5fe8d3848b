"""Instance segmentation: a folder with a TIFF for each image, a page for each object.

A page is black, but for the object's pixels, which have its category's colour. Masks may overlap.
An image without objects is one black page; one without a file is not annotated.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sihl_api.tasks import Task
from sihl_trainer.data.documents import Value
from sihl_trainer.errors import BadData
from sihl_trainer.tasks.annotations import Annotations, Format
from sihl_trainer.tasks.contents import Contents, Occurrences
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.maps.files import (
    MapFolder,
    bits,
    fault_in_aspect,
    invalid_map,
    map_folder,
)
from sihl_trainer.tasks.maps.palette import Color, ColorInfo, read_palette, rgb
from sihl_trainer.tasks.masks.pages import SUFFIXES, pages

if TYPE_CHECKING:
    from sihl_trainer.tasks.instance_segmentation.target import InstancesTarget


@dataclass(frozen=True, eq=False)
class _Page:
    """A page of a file: the size (width, height) of all, and the object, if there is one.

    Its mask is uint8 [h, w], 0 or 1, tight, its top left corner at `left`, `top`.
    """

    size: tuple[int, int]
    mask: NDArray[np.uint8] | None = None
    left: int = 0
    top: int = 0
    category: int = 0


@dataclass(frozen=True, eq=False)
class MaskAnnotations(Annotations):
    """A file an image, which is read whenever its masks are asked for.

    Args:
        folder: The files'.
        categories: Indices by colour.
        occurrences: Of objects' categories, in the files that were read so far.
    """

    folder: MapFolder
    categories: dict[Color, int]
    occurrences: Occurrences = field(default_factory=Occurrences)

    @property
    def names(self) -> Sequence[str]:
        """The images that have a file."""
        return self.folder.names

    def beside(self, images: Sequence[str]) -> Self:
        """The masks of a dataset with these images."""
        return replace(self, folder=self.folder.beside(images))

    def target(self, name: str) -> InstancesTarget | None:
        """The image's objects.

        Raises:
            BadData: The file is not what the format asks for.
        """
        import torch

        from sihl_trainer.tasks.instance_segmentation.target import instances

        path = self.folder.file(name)
        if path is None:
            return None
        found = list(self._pages(path))
        objects = [page for page in found if page.mask is not None]
        return instances(
            [(torch.from_numpy(page.mask), page.left, page.top) for page in objects],
            torch.tensor([page.category for page in objects], dtype=torch.int64),
            found[0].size,
            None,
        )

    def fault(self, name: str, width: int, height: int) -> str | None:
        """The first page that is no mask, or an aspect ratio that is not the image's."""
        path = self.folder.file(name)
        if path is None:
            return None
        try:
            found = [(page.size, page.category, page.mask is None) for page in self._pages(path)]
        except BadData as error:
            return error.message
        self.occurrences.add(name, [category for _, category, is_black in found if not is_black])
        return fault_in_aspect(path, found[0][0], (width, height))

    @property
    def fullest(self) -> int:
        """Objects of the image that has most, of those that were read so far."""
        return self.occurrences.most

    def contents(self, info: HeadInfo, images: Collection[str] | None = None) -> Contents:
        """Objects of each category."""
        return self.occurrences.by_name(info.categories, images)

    def _pages(self, path: Path) -> Iterator[_Page]:
        for number, page in pages(path):
            image = _image(page, path)
            box = image.getbbox()
            if box is None:
                yield _Page(page.size)
                continue
            left, top, _, _ = box
            crop = np.asarray(image.crop(box))
            mask, color = _mask(crop, path, number)
            if color not in self.categories:
                raise invalid_map(
                    path,
                    f"page {number} has colour {list(color)}, which is no category's: correct the "
                    "page, or list it under `colors` in the metadata",
                )
            yield _Page(page.size, mask, left, top, self.categories[color])


def _image(page: Image.Image, path: Path) -> Image.Image:
    """A page as RGB. Most are, and most of most is black: no more of these is copied than need be.

    Pillow turns TIFFs upright by itself.
    """
    if page.mode == "RGB" and bits(page) == 8:
        return page
    return Image.fromarray(rgb(page, path))


def _mask(crop: NDArray[np.uint8], path: Path, number: int) -> tuple[NDArray[np.uint8], Color]:
    """The pixels that are not black, and the colour that they all have."""
    red, green, blue = (crop[..., channel] for channel in range(3))
    mask = (red | green | blue) > 0
    row, column = np.unravel_index(int(mask.argmax()), mask.shape)
    color = crop[row, column]
    same = (red == color[0]) & (green == color[1]) & (blue == color[2])
    if (other := mask & ~same).any():
        row, column = np.unravel_index(int(other.argmax()), mask.shape)
        raise invalid_map(
            path,
            f"page {number} has two colours, {color.tolist()} and {crop[row, column].tolist()}: a "
            "page is one object's mask, black but for the object; part it (smooth edges and lossy "
            "compression mix colours as well)",
        )
    return mask.view(np.uint8), (int(color[0]), int(color[1]), int(color[2]))


def read_info(fields: dict[str, Value], place: str) -> ColorInfo:
    """The categories, in the order of their indices, and their colours."""
    return ColorInfo(Task.INSTANCE_SEGMENTATION, *read_palette(fields, place))


def read(path: Path, info: HeadInfo) -> MaskAnnotations:
    """The files in a folder.

    Raises:
        BadData: There is none, or one that is no TIFF.
    """
    assert isinstance(info, ColorInfo)
    indices = {name: index for index, name in enumerate(info.categories)}
    colors = {color: indices[name] for name, color in info.colors if name in indices}
    return MaskAnnotations(map_folder(path, SUFFIXES), colors)


FORMAT = Format(read_info, read)
