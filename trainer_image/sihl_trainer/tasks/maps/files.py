"""Annotations that are a folder: a file an image, of the image's stem.

A map is of the upright image and may have another size than it, at an equal aspect ratio.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from sihl_trainer.data import foreign, images, png, tiff
from sihl_trainer.data.misnamed import likely, likely_told
from sihl_trainer.data.names import is_hidden, is_image
from sihl_trainer.errors import BadData
from sihl_trainer.tasks.annotations import beside

_WIDE = ";16"  # in Pillow's names of how 16 bits a channel lie in a file
_BITS_TAG = 258


@dataclass(frozen=True)
class MapFolder:
    """The files of a folder, and which image each annotates once the images are known.

    Args:
        path: The folder's.
        files: Its files' names, by stem.
        of_image: Their names, by the image's.
        others: Names of files beside them that have another suffix.
    """

    path: Path
    files: dict[str, str]
    of_image: dict[str, str] = field(default_factory=dict)
    others: tuple[str, ...] = ()

    @property
    def names(self) -> Sequence[str]:
        """The images that have a file."""
        return list(self.of_image)

    def file(self, image: str) -> Path | None:
        """An image's file; None: it has none."""
        name = self.of_image.get(image)
        return None if name is None else self.path / name

    @property
    def _suffix(self) -> str:
        return PurePath(next(iter(self.files.values()))).suffix

    def beside(self, names: Sequence[str]) -> MapFolder:
        """The folder, of a dataset that has these images.

        Raises:
            BadData: A file whose stem is no image's, or is that of several; or one of another kind
                that has the stem of an image without a map.
        """
        found: dict[str, str] = {}  # image by stem
        for image in names:
            stem = _stem(image)
            if stem not in self.files:
                continue
            if stem in found:
                raise BadData(
                    "DatasetAnnotationInvalid",
                    f"{self.path.name}/{self.files[stem]} could annotate {found[stem]!r} or "
                    f"{image!r}: rename one of the images, and its annotation",
                )
            found[stem] = image
        if alone := sorted(self.files[stem] for stem in self.files.keys() - found):
            more = f" (and {len(alone) - 1} more)" if len(alone) > 1 else ""
            raise BadData(
                "DatasetImageMissing",
                f"{self.path.name}/{alone[0]}{more} annotates no image: none in images/ has the "
                f"stem {_stem(alone[0])!r}; {_meant(alone[0], names)}",
            )
        unread = {_stem(other): other for other in self.others}
        if lost := sorted({_stem(image) for image in names} & unread.keys() - found.keys()):
            raise _of_another_kind(self.path, unread[lost[0]], self._suffix)
        return replace(self, of_image={image: self.files[stem] for stem, image in found.items()})


def map_folder(path: Path, suffixes: Sequence[str]) -> MapFolder:
    """The files in a folder with one of these suffixes, in lower case, the format's own first.

    What is no image (a read-me, say) is passed over unless it has an image's stem, and so are
    folders.

    Raises:
        BadData: There is no such folder or file, two files have one stem, or an image has another
            suffix.
    """
    if not path.is_dir():
        is_file = path.is_file()
        raise BadData(
            "DatasetAnnotationsMissing",
            f"{path.name} is {'a file' if is_file else 'missing'}, but this task's annotations are "
            f"a folder with a {suffixes[0]} file for each image: add it, or correct `annotations` "
            "in the metadata"
            + (
                f". It looks like {told}"
                if is_file and (told := foreign.in_file(path))
                else likely_told(path.name, beside(path))
            ),
        )
    files: dict[str, str] = {}
    others: list[str] = []
    for name in sorted(entry.name for entry in path.iterdir() if entry.is_file()):
        if is_hidden(name):
            continue
        if not name.lower().endswith(tuple(suffixes)):
            if is_image(name):
                raise _of_another_kind(path, name, suffixes[0])
            others.append(name)
            continue
        stem = _stem(name)
        if stem in files:
            raise BadData(
                "DatasetAnnotationInvalid",
                f"{path.name}/{files[stem]} and {path.name}/{name} annotate the same image: keep "
                "one of the two",
            )
        files[stem] = name
    if not files:
        raise BadData(
            "DatasetNotAnnotated",
            f"{path.name}/ has no {suffixes[0]} file: add one, with an image's stem, for each "
            "image that is annotated"
            + (f". What it has looks like {told}" if (told := foreign.in_folder(path)) else ""),
        )
    return MapFolder(path, files, others=tuple(others))


@contextmanager
def opened_map(path: Path, kind: str) -> Iterator[Image.Image]:
    """A map's file, header read, to be decoded within the context.

    Args:
        path: The file's.
        kind: Its format as Pillow calls it, PNG or TIFF.

    Raises:
        BadData: As `images.opened`, or a file of another format.
    """
    with images.opened(path) as image:
        if image.format != kind:
            raise invalid_map(path, f"is a {image.format} file inside: save it as {kind}")
        if kind == "PNG":
            png.check(path.read_bytes())  # else a hole in it were pixels to be ignored
        else:
            with path.open("rb") as file:
                tiff.check(file)
        yield image


def check_rows(path: Path) -> None:
    """See that a PNG map that was decoded holds all its rows and colours: asked once, for it takes
    a while.

    Raises:
        BadData: It does not; what is missing would count as black, which is ignored.
    """
    data = path.read_bytes()
    with images.opened(path) as image:
        indices = np.asarray(image) if image.mode == "P" else None
    try:
        png.check_rows(data)
        if indices is not None:
            png.check_indices(data, indices)
    except ValueError as error:
        raise invalid_map(path, f"{error}: save it again") from None


def bits(image: Image.Image) -> int:
    """How many bits an opened image's file has for each channel; 8 also stands for fewer."""
    if isinstance(image, TiffImageFile):
        return int(max(8, *image.tag_v2.get(_BITS_TAG, (1,))))
    assert isinstance(image, ImageFile)
    return 16 if any(_WIDE in str(tile[3]) for tile in image.tile) else 8


def invalid_map(path: Path, what: str) -> BadData:
    """The error for a file that is not what the format asks for."""
    return BadData("DatasetAnnotationInvalid", f"{path.parent.name}/{path.name} {what}")


def fault_in_aspect(path: Path, own: tuple[int, int], image: tuple[int, int]) -> str | None:
    """What is wrong with a map's (width, height) for its upright image's; None: nothing.

    Some factor must make the one of the other, but for less than a pixel of the map: whoever
    makes a map smaller rounds down, up or to the nearest. Larger maps are taken as well.
    """
    least, most = (
        [(side + less) / whole for side, whole in zip(own, image, strict=True)] for less in (-1, 1)
    )
    if max(least) < min(most):
        return None
    return (
        f"{path.parent.name}/{path.name} is {own[0]} pixels wide and {own[1]} high, its image "
        f"{image[0]} and {image[1]}: make the map of the whole upright image, at its aspect ratio"
    )


def _of_another_kind(path: Path, name: str, suffix: str) -> BadData:
    return BadData(
        "DatasetAnnotationInvalid",
        f"{path.name}/{name}: this task's annotations are {suffix} files: save it as one, or "
        "remove it",
    )


def _meant(name: str, images: Sequence[str]) -> str:
    own, stems = _stem(name), [_stem(image) for image in images]
    longer = [stem for stem in stems if own.startswith(stem) and not own[len(stem)].isalnum()]
    if found := likely(own, stems) or max(longer, key=len, default=None):
        return f"did you mean {found!r}? Call it {found}{PurePath(name).suffix}"
    return "add the image or remove the file"


def _stem(name: str) -> str:
    return name.rpartition(".")[0]
