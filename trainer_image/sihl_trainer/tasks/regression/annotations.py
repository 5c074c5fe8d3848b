"""Regression: a file that maps each image to a number within `range`.

000.jpg: 0.1
001.jpg: null     # not annotated
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sihl_api.tasks import Task
from sihl_trainer.data.documents import Value, number, quoted
from sihl_trainer.errors import BadData
from sihl_trainer.tasks.annotations import Annotations, Format, annotation_entries, invalid
from sihl_trainer.tasks.contents import Contents, Spread
from sihl_trainer.tasks.info import HeadInfo

if TYPE_CHECKING:
    from sihl_trainer.tasks.regression.target import ValueTarget

Range = tuple[float, float]
_NARROWEST, _WIDEST = 1e-100, 1e100  # so that squares of errors are numbers, too


@dataclass(frozen=True)
class RangeInfo(HeadInfo):
    """What regression is told.

    Args:
        range: Lowest and highest value of the set.
        trained: Those of the training set, where this is a validation set's: the head predicts
            nothing beyond them.
    """

    range: Range = (0.0, 1.0)
    trained: Range | None = None

    def as_trained(self, trained: HeadInfo) -> Self:
        """A validation set's info: values must lie in both sets' ranges."""
        assert isinstance(trained, RangeInfo)
        return replace(self, trained=trained.range)


class ValueAnnotations(Annotations):
    """A number by image."""

    def __init__(self, values: dict[str, float]) -> None:
        self._values = values

    @property
    def names(self) -> Sequence[str]:
        """The images that have a value."""
        return list(self._values)

    def target(self, name: str) -> ValueTarget | None:
        """The image's value."""
        from sihl_trainer.tasks.regression.target import ValueTarget

        value = self._values.get(name)
        return None if value is None else ValueTarget(value)

    def contents(self, info: HeadInfo, images: Collection[str] | None = None) -> Contents:
        """How the values are spread over the range."""
        assert isinstance(info, RangeInfo)
        spread = Spread(*info.range)
        values = self._values.items()
        spread.add([value for name, value in values if images is None or name in images])
        return spread.histogram()

    def oddities(self) -> list[str]:
        """Values that are all the same: whoever always says it is right."""
        values = set(self._values.values())
        if len(values) > 1:
            return []
        return [f"all {len(self._values):,} values are {values.pop():.9g}: nothing to learn"]

    def fault(self, name: str, width: int, height: int) -> str | None:  # noqa: ARG002
        """Nothing: a number fits an image of any size."""
        return None


def read_info(fields: dict[str, Value], place: str) -> RangeInfo:
    """The range.

    Raises:
        BadData: No two finite numbers, or not the lower one first.
    """
    value = fields.get("range")
    found = [number(item) for item in value] if isinstance(value, list) else []
    ends = [end for end in found if end is not None]
    if len(found) != 2 or len(ends) != 2:
        raise BadData(
            "DatasetMetadataInvalid",
            f"{place}: `range` must be the lowest and the highest value, two numbers: [-10, 8.7]",
        )
    low, high = ends
    if low >= high or not _NARROWEST <= high - low <= _WIDEST:
        what = "must have the lower number first"
        if low < high:
            what = f"is too {'wide' if high - low > 1 else 'narrow'}"
        raise BadData(
            "DatasetMetadataInvalid",
            f"{place}: `range` {_shown((low, high))} {what}: write the lowest and the highest "
            "value, such as [-10, 8.7]",
        )
    return RangeInfo(Task.REGRESSION, range=(low, high))


def read(path: Path, info: HeadInfo) -> ValueAnnotations:
    """The values in a file.

    Raises:
        BadData: Malformed, no number, or one outside the range; names file, line, image.
    """
    assert isinstance(info, RangeInfo)
    found: dict[str, float] = {}
    for entry in annotation_entries(path):
        if entry.value is None:
            continue
        value = number(entry.value)
        if value is None:
            raise invalid(
                path,
                entry,
                f"{quoted(entry.value)} is no finite number: write one within "
                f"{_shown(info.range)}, or null if not annotated",
            )
        if text := _outside(value, info):
            raise invalid(path, entry, text)
        found[entry.key] = value
    return ValueAnnotations(found)


def _outside(value: float, info: RangeInfo) -> str | None:
    """Why a value cannot stand, None if it can."""
    if not info.range[0] <= value <= info.range[1]:
        return (
            f"{value:.9g} lies outside `range`, {_shown(info.range)}: correct it here, or widen "
            "`range` in the metadata"
        )
    if info.trained and not info.trained[0] <= value <= info.trained[1]:
        return (
            f"{value:.9g} lies outside the training dataset's `range`, {_shown(info.trained)}, "
            "beyond which the head predicts nothing: widen `range` there, or map the image to null"
        )
    return None


def _shown(ends: Range) -> str:
    return f"[{ends[0]:.9g}, {ends[1]:.9g}]"


FORMAT = Format(read_info, read)
