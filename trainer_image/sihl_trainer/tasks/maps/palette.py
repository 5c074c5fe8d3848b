"""Maps of categories in colours: what the metadata lists, and pictures as indices and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from sihl_trainer.data.documents import Value, number
from sihl_trainer.errors import BadData
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.listed import read_names, unknown_name
from sihl_trainer.tasks.maps.files import bits, invalid_map, opened_map

Color: TypeAlias = "tuple[int, int, int]"

MOST_CATEGORIES = 2**15 - 1
"""Maps of indices have 16 bits at most."""
_BLACK = (0, 0, 0)
_EXAMPLE = "colors: {cat: [255, 0, 0]}"
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")


@dataclass(frozen=True)
class ColorInfo(HeadInfo):
    """Categories with the colours that they have in maps.

    Args:
        colors: By category, distinct and none black. These stay a validation set's own, whatever
            the training set's are. A category without one never occurs.
    """

    colors: tuple[tuple[str, Color], ...] = ()

    def settings(self) -> dict[str, Any]:
        """What a head keeps of it, as JSON has it."""
        return {
            "categories": list(self.categories),
            "colors": {name: list(color) for name, color in self.colors},
        }


def read_palette(
    fields: Mapping[str, Value], place: str
) -> tuple[tuple[str, ...], tuple[tuple[str, Color], ...]]:
    """The metadata's `categories`, and the `colors` of those that have one.

    Raises:
        BadData: Categories as `read_names`; colours that are missing, malformed, black, the same,
            or of a category that is not listed.
    """
    categories = read_names(dict(fields), "categories", place)
    if len(categories) > MOST_CATEGORIES:
        raise _fault(place, f"lists {len(categories)} categories; maps have {MOST_CATEGORIES:,}")
    value = fields.get("colors")
    if not isinstance(value, dict) or not value:
        raise _fault(place, f"`colors` must map categories to their colours in maps: {_EXAMPLE}")
    known = set(categories)
    taken: dict[Color, str] = {}
    for name, item in value.items():
        if name not in known:
            raise _fault(place, f"`colors` has an {unknown_name(name, categories)}")
        if item is None:
            continue
        color = _color(item)
        if color is None:
            raise _fault(
                place,
                f"`colors` of {name!r} must be three whole numbers from 0 to 255: {_EXAMPLE}",
            )
        if color == _BLACK:
            raise _fault(
                place,
                f"`colors` gives {name!r} black, which pixels to ignore have: choose another",
            )
        if color in taken:
            raise _fault(
                place,
                f"`colors` gives {taken[color]!r} and {name!r} the same, {list(color)}: choose "
                "another for one of them",
            )
        taken[color] = name
    if not taken:
        raise _fault(place, f"`colors` gives no category a colour: {_EXAMPLE}")
    return categories, tuple((name, color) for color, name in taken.items())


_NUMBERS = (
    "it is grey all over, as maps of category numbers are: write each number as its category's "
    "colour"
)
_MIXED = "smooth edges and lossy compression mix colours; what is to be ignored is black"


class Palette:
    """Which index is which colour.

    Args:
        categories: In the order of their indices.
        colors: By category; of those that `categories` does not have none is used.
    """

    def __init__(self, categories: Sequence[str], colors: Mapping[str, Sequence[int]]) -> None:
        kind = np.uint8 if len(categories) < 2**8 else np.int16
        self._colors = np.zeros((len(categories) + 1, 3), np.uint8)
        given = [index for index, name in enumerate(categories, start=1) if name in colors]
        for index in given:
            self._colors[index] = colors[categories[index - 1]]
        labels = np.array([0, *given], dtype=kind)
        codes = _codes(self._colors[labels])
        order = codes.argsort()
        self._codes, self._labels = codes[order], labels[order]

    def __len__(self) -> int:
        return len(self._labels) - 1  # black is no category's

    def labels(self, colors: NDArray[np.uint8], path: Path) -> NDArray[Any]:
        """Indices plus one, 0 for black, of a map [h, w, 3]: uint8, of over 255 categories int16.

        Args:
            colors: The map.
            path: Its file's, for the message.

        Raises:
            BadData: A colour that no category has; names the first pixel.
        """
        codes = _codes(colors).ravel()
        # Maps are runs of one colour: to look up where each begins takes a third of the time.
        starts = np.append(0, np.flatnonzero(codes[1:] != codes[:-1]) + 1)
        runs = codes[starts]
        at = self._codes.searchsorted(runs).clip(max=len(self._codes) - 1)
        unknown = self._codes[at] != runs
        if unknown.any():
            row, column = divmod(int(starts[unknown.argmax()]), colors.shape[1])
            is_grey = (colors == colors[..., :1]).all()
            why = _NUMBERS if is_grey else _MIXED
            raise invalid_map(
                path,
                f"has colour {colors[row, column].tolist()} at x {column}, y {row}, which is no "
                f"category's: correct the map ({why}), or list it under `colors` in the metadata",
            )
        labels = np.repeat(self._labels[at], np.diff(starts, append=len(codes)))
        return labels.reshape(colors.shape[:2])

    def colors(self, labels: NDArray[Any]) -> NDArray[np.uint8]:
        """The map [h, w, 3] of indices plus one; black where there is none, or no colour for it."""
        colors: NDArray[np.uint8] = self._colors[labels]
        return colors


def palette_of(info: HeadInfo) -> Palette:
    """The palette of a set's info."""
    assert isinstance(info, ColorInfo)
    return Palette(info.categories, dict(info.colors))


def colored(path: Path, palette: Palette) -> NDArray[Any]:
    """A PNG in the categories' colours as indices plus one [h, w], 0 where it is black.

    Raises:
        BadData: Not a PNG that can be decoded, of more than 8 bits a channel, or with a colour that
            no category has.
    """
    with opened_map(path, "PNG") as image:
        return palette.labels(rgb(image, path), path)


def rgb(image: Image.Image, path: Path) -> NDArray[np.uint8]:
    """An opened map's colours [h, w, 3], upright; of grey ones all three are the same.

    Raises:
        BadData: It has more than 8 bits a channel, or another kind of colour; or a pixel with a
            colour that is transparent, so that nobody can tell whether it counts.
    """
    if image.mode not in _MODES or bits(image) > 8:
        depth = f"{bits(image)} bits a channel" if bits(image) > 8 else f"mode {image.mode}"
        raise invalid_map(path, f"has {depth}: save it as RGB with 8 bits a channel")
    upright = ImageOps.exif_transpose(image)
    if not upright.has_transparency_data:
        return np.asarray(upright.convert("RGB"))
    found = np.asarray(upright.convert("RGBA"))
    colors, hidden = found[..., :3], (found[..., 3] < 255) & found[..., :3].any(-1)
    if hidden.any():
        row, column = np.unravel_index(int(hidden.argmax()), hidden.shape)
        raise invalid_map(
            path,
            f"has a transparent pixel of colour {colors[row, column].tolist()} at x {column}, y "
            f"{row}: save it without transparency, black where nothing counts",
        )
    return colors


def _color(item: Value) -> Color | None:
    values = [number(part) for part in item] if isinstance(item, list) else []
    whole = [int(v) for v in values if v is not None and v.is_integer() and 0 <= v <= 255]
    return (whole[0], whole[1], whole[2]) if len(values) == len(whole) == 3 else None


def _codes(colors: NDArray[np.uint8]) -> NDArray[np.int32]:
    """One number for each colour of [..., 3]."""
    codes = colors[..., 0].astype(np.int32)
    for channel in (1, 2):
        codes <<= 8
        codes |= colors[..., channel]
    return codes


def _fault(place: str, what: str) -> BadData:
    return BadData("DatasetMetadataInvalid", f"{place}: {what}")
