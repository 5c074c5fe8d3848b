"""Validation pictures: of a job by step, head and image, and of several jobs the same image."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sihl_api.record import PICTURE_SUFFIX, RecordPaths
from sihl_dashboard.records.place import Place
from sihl_dashboard.records.refs import JobRef

_MAP = ".map"
_PICTURE = re.compile(r"(\d{1,9})/pictures/(\d{1,12})/([^/]+)/([^/]+)", re.ASCII)


@dataclass(frozen=True, order=True)
class Picture:
    """One file of a validation.

    Attributes:
        step: The validation's.
        head: Whose predictions it shows.
        file: Its name; pictures of the same image have the same in every job of a dataset.
        attempt: That drew it.
        bytes: Its size.
    """

    step: int
    head: str
    file: str
    attempt: int
    bytes: int

    def key(self, paths: RecordPaths) -> str:
        """Where it lies."""
        return f"{paths.pictures(self.attempt, self.step)}{self.head}/{self.file}"

    @property
    def is_image(self) -> bool:
        """Whether it is a drawing; the other files are predictions as data, maps too."""
        name = self.file.removesuffix(PICTURE_SUFFIX)
        return name != self.file and not name.endswith(_MAP)


def listed(place: Place, paths: RecordPaths, numbers: Iterable[int]) -> list[Picture]:
    """A job's pictures, by step, head and image.

    Of what several attempts drew of one step, the latest's is taken: it is the one that counts.

    Args:
        place: The store.
        paths: The job's record.
        numbers: Its attempts'.
    """
    found: dict[tuple[int, str, str], Picture] = {}
    for number in sorted(numbers):
        for item in place.items(f"{paths.attempt(number)}pictures/"):
            match = _PICTURE.fullmatch(item.key.removeprefix(paths.attempts))
            if match is None:
                continue
            picture = Picture(int(match[2]), match[3], match[4], number, item.bytes)
            if picture.key(paths) == item.key:
                found[picture.step, picture.head, picture.file] = picture
    return sorted(found.values())


def standing(pictures: Iterable[Picture], resumed: Mapping[int, int]) -> list[Picture]:
    """Without those of steps that a later attempt has superseded.

    Args:
        pictures: A job's.
        resumed: By attempt, the last step before it that still counts.
    """
    return [
        picture
        for picture in pictures
        if all(picture.step <= at for number, at in resumed.items() if number > picture.attempt)
    ]


@dataclass(frozen=True)
class SameImage:
    """A validation image as several jobs saw it, each at its own step.

    Attributes:
        head: Whose predictions are shown.
        file: The pictures' name.
        pictures: Each job's.
        disagreement: How far they differ, from 0 to 1; None: that cannot be said.
    """

    head: str
    file: str
    pictures: dict[JobRef, Picture]
    disagreement: float | None = None


def side_by_side(
    jobs: Mapping[JobRef, Iterable[Picture]], step: int | None = None
) -> list[SameImage]:
    """The images that at least two jobs drew.

    Args:
        jobs: Each one's pictures.
        step: The latest validation up to it; None is the job's last.
    """
    found: dict[tuple[str, str], dict[JobRef, Picture]] = {}
    for ref, pictures in jobs.items():
        for picture in sorted(pictures):
            if picture.is_image and (step is None or picture.step <= step):
                found.setdefault((picture.head, picture.file), {})[ref] = picture
    return [
        SameImage(head, file, shown)
        for (head, file), shown in sorted(found.items())
        if len(shown) > 1
    ]


def most_disagreed_first(images: Iterable[SameImage]) -> list[SameImage]:
    """Sorted; last those of which nobody can say it."""

    def order(image: SameImage) -> tuple[float, str, str]:
        found = -1.0 if image.disagreement is None else image.disagreement
        return (-found, image.head, image.file)

    return sorted(images, key=order)
