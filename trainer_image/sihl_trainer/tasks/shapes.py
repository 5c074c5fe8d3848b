"""What annotations share that list shapes with categories: boxes, quadrilaterals."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from sihl_trainer.data.documents import Value
from sihl_trainer.tasks.annotations import Annotations, check_no_shares, invalid, list_entries
from sihl_trainer.tasks.contents import Contents, counted, longest, within
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.listed import unknown_name

if TYPE_CHECKING:
    from torch import Tensor

Parse: TypeAlias = Callable[[Value], "tuple[Sequence[float], str] | str"]
"""The numbers and the category of an entry's item, or what is wrong with it."""


_FLAT = "are less than a pixel wide or high, as shares of the image are"
_AGAIN = "are annotated twice"


class Shapes(NamedTuple):
    """The shapes of all images, one after the other in two arrays.

    A tensor for each image would take more memory than the shapes, in each loader process.

    Args:
        file: The annotations'.
        spans: By image, where in the arrays its shapes begin and end.
        numbers: float32 [M, ...], in pixels.
        categories: int64 [M].
    """

    file: str
    spans: dict[str, tuple[int, int]]
    numbers: np.ndarray
    categories: np.ndarray


class ShapeAnnotations(Annotations):
    """Shapes with categories, by image."""

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes

    @property
    def file(self) -> str:
        """The annotations' file, for messages."""
        return self._shapes.file

    @property
    def names(self) -> Sequence[str]:
        """The images that are annotated, if only with no shape."""
        return list(self._shapes.spans)

    def contents(self, info: HeadInfo, images: Collection[str] | None = None) -> Contents:
        """Shapes of each category."""
        return counted(within(self._shapes.categories, self._shapes.spans, images), info.categories)

    @property
    def fullest(self) -> int:
        """Shapes of the image that has most."""
        return longest(self._shapes.spans)

    def oddities(self) -> list[str]:
        """Shapes that nobody can have drawn, and those that are there twice."""
        numbers, categories = self._shapes.numbers, self._shapes.categories
        if not len(numbers):
            return []
        points = numbers.reshape(len(numbers), -1, 2)
        flat = (np.ptp(points, axis=1) < 1).any(1)
        lengths = [end - start for start, end in self._shapes.spans.values()]
        images = np.repeat(np.arange(len(lengths)), lengths)
        rows = np.column_stack((images, categories, numbers.reshape(len(numbers), -1)))
        again = np.ones(len(rows), dtype=bool)
        again[np.unique(rows, axis=0, return_index=True)[1]] = False
        return [
            f"{found.sum():,} of {len(found):,} objects {what}, the first in "
            f"{self.names[images[found.argmax()]]!r}"
            for found, what in ((flat, _FLAT), (again, _AGAIN))
            if found.any()
        ]

    def tensors(self, name: str) -> tuple[Tensor, Tensor] | None:
        """An image's shapes, float32 [N, ...], and categories, int64 [N]; None: not annotated."""
        import torch

        if (span := self._shapes.spans.get(name)) is None:
            return None
        part = slice(*span)
        return (
            torch.from_numpy(self._shapes.numbers[part].copy()),
            torch.from_numpy(self._shapes.categories[part].copy()),
        )

    def numbers(self, name: str) -> np.ndarray:
        """An image's shapes, float32 [N, ...]; none where it is not annotated."""
        return self._shapes.numbers[slice(*self._shapes.spans.get(name, (0, 0)))]


def read_shapes(
    path: Path, info: HeadInfo, words: tuple[str, str], shape: tuple[int, ...], parse: Parse
) -> Shapes:
    """The shapes in a file.

    Args:
        path: The file.
        info: With the categories.
        words: What one is called, and several, for messages.
        shape: Of one's numbers.
        parse: Reads one.

    Raises:
        BadData: Malformed, a category that the metadata does not list, or what `parse` finds;
            names file, line, image and shape.
    """
    indices = {name: index for index, name in enumerate(info.categories)}
    spans: dict[str, tuple[int, int]] = {}
    numbers, categories = array("f"), array("q")
    for entry, items in list_entries(path, words[1]):
        start = len(categories)
        for count, item in enumerate(items, start=1):
            parsed = parse(item)
            if isinstance(parsed, str):
                raise invalid(path, entry, f"{words[0]} {count}: {parsed}")
            values, category = parsed
            if category not in indices:
                text = unknown_name(category, info.categories)
                raise invalid(path, entry, f"{words[0]} {count}: {text}")
            numbers.extend(values)
            categories.append(indices[category])
        spans[entry.key] = (start, len(categories))
    shapes = np.array(numbers, dtype=np.float32).reshape(-1, *shape)
    check_no_shares(path, shapes, words[1])
    return Shapes(
        path.name,
        spans,
        shapes,
        np.array(categories, dtype=np.int64),
    )


def shown(numbers: Sequence[float] | np.ndarray) -> str:
    """Numbers as a file has them."""
    return "[" + ", ".join(f"{value:g}" for value in numbers) + "]"
