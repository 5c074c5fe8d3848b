"""What every format offers: the set's metadata read and checked, and the annotations by image.

The fetch reads formats, and imports no torch for it: that takes more than a second. So neither this
module nor a task's `annotations` imports a target's class at the top, but where it makes one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from sihl_api.model import Head
from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.data import foreign
from sihl_trainer.data.documents import Entry, Value, number, quoted, read_entries
from sihl_trainer.data.misnamed import likely_told
from sihl_trainer.data.names import is_image
from sihl_trainer.errors import BadData
from sihl_trainer.tasks.contents import Contents
from sihl_trainer.tasks.info import HeadInfo

if TYPE_CHECKING:
    from sihl_trainer.tasks.target import Target

_SHARE = 1.1  # 1, and what tools reach over the edge
TOLERANCE = 0.5
"""Pixels that an annotation may reach over its image's edge: tools round differently."""


class Annotations(ABC):
    """The annotations of one set, by the image's file name."""

    @property
    @abstractmethod
    def names(self) -> Sequence[str]:
        """The images that are annotated; one that is mapped to null is not."""

    @abstractmethod
    def target(self, name: str) -> Target | None:
        """What an image is annotated with, in its own pixels; None: not annotated."""

    @abstractmethod
    def fault(self, name: str, width: int, height: int) -> str | None:
        """What is wrong with an image's annotation, now that its size in pixels is known.

        The text names the file, the image and the entry; None: nothing. Called from several
        threads, once for each image that `images/` has.
        """

    def beside(self, images: Sequence[str]) -> Self:  # noqa: ARG002
        """The annotations of a dataset that has images of these names, present or yet to be.

        For formats that know an image by its stem only; by default the same. Raises BadData.
        """
        return self

    def contents(
        self,
        info: HeadInfo,  # noqa: ARG002
        images: Collection[str] | None = None,  # noqa: ARG002
    ) -> Contents | None:
        """How often each of the info's names is annotated, or how values are spread.

        In some of the images; None: in all. Returns None, as is the default, where neither says
        anything. Asked once `fault` has been told every size, and so has read every file of a
        folder.
        """
        return None

    @property
    def fullest(self) -> int:
        """Objects of the image that has most; 0, as is the default, where there are none.

        Of files of a folder those count that `fault` has been told the size of.
        """
        return 0

    def oddities(self) -> list[str]:
        """What is legal in these annotations and hardly meant, in sentences; by default nothing."""
        return []

    def unsuited(self, head: Head, spec: TrainingJobSpec) -> str | None:  # noqa: ARG002
        """Why a job's head cannot learn well from these annotations with the job's settings.

        The text names the setting and the remedy; None: it can, as is the default. Asked before
        the images are there, and again once `fault` has been told the size of each.
        """
        return None

    def remark(self, head: Head, spec: TrainingJobSpec) -> str | None:  # noqa: ARG002
        """What a job's settings waste on these images, where that is much; None: nothing.

        The text names the setting and the remedy. Asked once `fault` has been told every size.
        """
        return None


class AnyImage(Annotations):
    """What feeds self-supervised heads: every image, annotated or not."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)

    @property
    def names(self) -> Sequence[str]:
        """All images."""
        return sorted(self._names)

    def target(self, name: str) -> Target | None:
        """The image itself."""
        from sihl_trainer.tasks.target import ImageTarget

        return ImageTarget() if name in self._names else None

    def fault(self, name: str, width: int, height: int) -> str | None:  # noqa: ARG002
        """Nothing: there is no annotation."""
        return None


@dataclass(frozen=True)
class Format:
    """How one task is annotated.

    Args:
        read_info: From a set's metadata fields and their place (for messages); raises BadData.
        read: From the annotations' file or folder and the set's info; raises BadData.
        open_names: Whether a head of this task learns from names that it need not know again: a
            validation set may have others than the training set, as identities do.
    """

    read_info: Callable[[dict[str, Value], str], HeadInfo]
    read: Callable[[Path, HeadInfo], Annotations]
    open_names: bool = False


def annotation_entries(path: Path) -> Iterator[Entry]:
    """The entries of an annotations file.

    Raises:
        BadData: As `read_entries`, or the path is missing or a folder.
    """
    if not path.is_file():
        is_folder = path.is_dir()
        raise BadData(
            "DatasetAnnotationsMissing",
            f"{path.name} is {'a folder' if is_folder else 'missing'}, but this task's annotations "
            "are one YAML or JSON file: add it, or correct `annotations` in the metadata"
            + (
                f". It looks like {told}"
                if is_folder and (told := foreign.in_folder(path))
                else likely_told(path.name, beside(path))
            ),
        )
    if told := foreign.in_file(path):
        raise BadData("DatasetAnnotationInvalid", f"{path.name} looks like {told}")
    for entry in read_entries(path):
        if told := foreign.in_entry(entry):
            raise BadData(
                "DatasetAnnotationInvalid", f"{path.name}, {entry.place}: this looks like {told}"
            )
        yield entry


def beside(path: Path) -> list[str]:
    """Names of what lies in the folder of a path, which need not be there itself."""
    return [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []


def list_entries(path: Path, what: str) -> Iterator[tuple[Entry, list[Value]]]:
    """The entries of the images that are annotated, each with its list of objects.

    Args:
        path: The annotations file.
        what: What is listed, in the plural, for messages.

    Raises:
        BadData: As `annotation_entries`, or an entry that is neither a list nor null.
    """
    for entry in annotation_entries(path):
        if entry.value is None:
            continue
        if not isinstance(entry.value, list):
            raise invalid(
                path, entry, f"must be a list of {what}, [] for none, null if not annotated"
            )
        yield entry, entry.value


_IGNORED = ("iscrowd", "difficult", "ignore", "crowd")
"""What other tools call objects that count neither as found nor as missed; 0 says that it does."""
_UNSET = ("false", "no", "n")


def fault_in_keys(fields: Mapping[str, Value], known: Sequence[str]) -> str | None:
    """What is wrong with the keys of an object's entry; None: nothing.

    Args:
        fields: The entry.
        known: The keys that there are; a `score`, as predictions have it, is ignored beside them.
    """
    for key, value in fields.items():
        if key in known or key == "score":
            continue
        if key in _IGNORED:
            unset = isinstance(value, str) and value.lower() in _UNSET
            if value is None or unset or number(value) == 0:
                continue
            return (
                f"`{key}` asks to ignore the object, and only whole images can be ignored: take "
                "the object out, or map the image to null"
            )
        close = get_close_matches(key, known, n=1)
        meant = f"did you mean `{close[0]}`? " if close else ""
        return f"unknown key `{key}`: {meant}an object has {' and '.join(known)}; take out others"
    return None


def check_no_shares(path: Path, coordinates: np.ndarray, what: str) -> None:
    """Whether coordinates of all objects, in any shape, can be pixels; NaN is no coordinate.

    Raises:
        BadData: They all lie within the first pixel: they are shares of the image.
    """
    known = coordinates[~np.isnan(coordinates)]
    if (known > 0).any() and np.abs(known).max() <= _SHARE:
        raise BadData(
            "DatasetAnnotationInvalid",
            f"{path.name}: all {what} lie between 0 and 1, so they look like shares of the image's "
            "width and height, and pixels are read: multiply x by the width, y by the height",
        )


def kept(*numbers: float) -> list[float]:
    """Pixels as they are kept, in single precision: what differs by less is the same."""
    return array("f", numbers).tolist()


def point(value: Value) -> tuple[float, float] | None:
    """The two numbers of a point [x, y], or None where it is none."""
    if not isinstance(value, list) or len(value) != 2:
        return None
    x, y = map(number, value)
    if x is None or y is None:
        return None
    x, y = kept(x, y)
    return x, y


def outside(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """bool [...]: which points [..., 2] lie further than the tolerance from an image's inside."""
    far = (points < -TOLERANCE) | (points > np.array((width, height)) + TOLERANCE)
    return np.asarray(far.any(-1))


def invalid(path: Path, entry: Entry, what: str) -> BadData:
    """The error for an entry that is not what the format asks for."""
    if not is_image(entry.key):
        what += f" (entries are called as images are, 000.jpg, which {quoted(entry.key)} is not)"
    return BadData("DatasetAnnotationInvalid", f"{path.name}, {entry.place}: {what}")
