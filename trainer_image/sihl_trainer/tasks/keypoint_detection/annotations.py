"""Keypoint detection: a file that maps each image to its instances.

    000.jpg: [{left_eye: [x, y], right_eye: [x, y], tail: null}, {tail: [x, y]}, ...]
    001.jpg: []       # no instance
    002.jpg: null     # not annotated

Pixels from the image's top left corner, x to the right, y down. A keypoint that is null or left out
is invisible. An instance may have no visible keypoint at all: that tells nothing, so it is left out
of training and validation, and a log line says how many there are. A `score` is ignored.

The metadata may say which keypoints change places in a mirror (`[]`: none do):

    keypoints: [left_eye, right_eye, tail]
    symmetry: [[left_eye, right_eye]]
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from sihl_api.model import Head
from sihl_api.tasks import Task
from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.data.documents import Value, quoted
from sihl_trainer.errors import BadData
from sihl_trainer.tasks.annotations import (
    Annotations,
    Format,
    check_no_shares,
    invalid,
    list_entries,
    outside,
    point,
)
from sihl_trainer.tasks.contents import Contents, longest, within
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.listed import read_names, unknown_name

if TYPE_CHECKING:
    from sihl_trainer.tasks.keypoint_detection.target import KeypointsTarget

log = logging.getLogger(__name__)

SCORE = "score"
"""A field of predictions that are written down; no keypoint, unless one is called so."""
_FLAG = ": leave out the third number, COCO's visibility, and write null where that is 0"
Pairs: TypeAlias = "tuple[tuple[str, str], ...]"


@dataclass(frozen=True)
class KeypointInfo(HeadInfo):
    """Names of keypoints, as `categories`.

    Args:
        symmetry: Which two change places in a mirrored image; None: the metadata does not say.
    """

    symmetry: Pairs | None = None

    @property
    def swap(self) -> list[int]:
        """Which keypoint each becomes in a mirrored image."""
        index = {name: number for number, name in enumerate(self.categories)}
        swap = list(range(len(self.categories)))
        for one, other in self.symmetry or ():
            swap[index[one]], swap[index[other]] = index[other], index[one]
        return swap


class KeypointAnnotations(Annotations):
    """The instances of all images, one after the other in one array."""

    def __init__(
        self, file: str, info: KeypointInfo, spans: dict[str, tuple[int, int]], points: np.ndarray
    ) -> None:
        self._file = file
        self._info = info
        self._spans = spans
        self._points = points  # float32 [M, K, 2]; NaN where invisible

    @property
    def names(self) -> Sequence[str]:
        """The images that are annotated, if only with no instance."""
        return list(self._spans)

    def target(self, name: str) -> KeypointsTarget | None:
        """The image's instances that have a visible keypoint."""
        import torch

        from sihl_trainer.tasks.keypoint_detection.target import KeypointsTarget

        if (span := self._spans.get(name)) is None:
            return None
        points = torch.from_numpy(self._points[slice(*span)].copy())
        visible = ~points.isnan().any(2)
        shows = visible.any(1)
        return KeypointsTarget(
            points[shows].nan_to_num(0.0), visible[shows], torch.tensor(self._info.swap)
        )

    @property
    def fullest(self) -> int:
        """Instances of the image that has most."""
        return longest(self._spans)

    def contents(self, info: HeadInfo, images: Collection[str] | None = None) -> Contents:
        """How often each keypoint is visible."""
        visible = ~np.isnan(within(self._points, self._spans, images)).any(axis=2)
        return dict(zip(info.categories, visible.sum(axis=0).tolist(), strict=True))

    def fault(self, name: str, width: int, height: int) -> str | None:
        """The first keypoint that lies out of its image."""
        points = self._points[slice(*self._spans.get(name, (0, 0)))]
        faulty = outside(points, width, height)
        if not faulty.any():
            return None
        instance, keypoint = np.argwhere(faulty)[0].tolist()
        x, y = points[instance, keypoint].tolist()
        return (
            f'{self._file}, "{name}", instance {instance + 1}: {self._info.categories[keypoint]} '
            f"[{x:g}, {y:g}] lies outside the image, which is {width} pixels wide and {height} "
            "high: correct it, in pixels from the top left of the upright image, or write null"
        )

    def oddities(self) -> list[str]:
        """Keypoints where COCO's format puts those that nobody has seen."""
        corner = (self._points == 0).all(2)
        if not corner.any():
            return []
        return [
            f"{corner.sum():,} of {np.isfinite(self._points[..., 0]).sum():,} keypoints lie at "
            "[0, 0], as COCO's do that are not labelled: write null for those"
        ]

    def unsuited(self, head: Head, spec: TrainingJobSpec) -> str | None:
        """Mirrored images, where nobody has said which keypoints are left and right ones."""
        told = self._info.symmetry is not None
        if (
            told
            or head.task is not Task.KEYPOINT_DETECTION
            or not spec.augmentation.horizontal_flip
        ):
            return None
        return (
            "training.augmentation.horizontalFlip is on, and in a mirrored image a left keypoint "
            "is a right one: list such pairs as `symmetry: [[left_eye, right_eye], ...]` beside "
            "`keypoints` in the metadata ([] if there are none), or switch the flip off"
        )


def read_info(fields: dict[str, Value], place: str) -> KeypointInfo:
    """The keypoints, in the order of their indices, and their pairs.

    Raises:
        BadData: No keypoints, or `symmetry` is no list of pairs of them.
    """
    names = read_names(fields, "keypoints", place)
    symmetry = _pairs(fields["symmetry"], names, place) if "symmetry" in fields else None
    return KeypointInfo(Task.KEYPOINT_DETECTION, names, symmetry)


def _pairs(value: Value, names: Sequence[str], place: str) -> Pairs:
    pairs: list[tuple[str, str]] = []
    paired: set[str] = set()
    for item in value if isinstance(value, list) else [None]:
        pair = item if isinstance(item, list) else []
        if len(pair) != 2:
            raise _bad_symmetry(place, "must list pairs of keypoints: [[left_eye, right_eye]]")
        for name in pair:
            if not isinstance(name, str) or name not in names:
                raise _bad_symmetry(
                    place, f"has {name!r}, which `keypoints` does not list: {_listed(names)}"
                )
            if name in paired:
                raise _bad_symmetry(place, f"has {name!r} twice: a keypoint has one counterpart")
            paired.add(name)
        pairs.append((str(pair[0]), str(pair[1])))
    return tuple(pairs)


def _bad_symmetry(place: str, what: str) -> BadData:
    return BadData("DatasetMetadataInvalid", f"{place}: `symmetry` {what}; correct it")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")


def read(path: Path, info: HeadInfo) -> KeypointAnnotations:
    """The instances in a file.

    Raises:
        BadData: Malformed, or a keypoint that the metadata does not list; names file, line, image
            and instance.
    """
    assert isinstance(info, KeypointInfo)
    indices = {name: index for index, name in enumerate(info.categories)}
    spans: dict[str, tuple[int, int]] = {}
    numbers = array("f")
    count = blind = 0
    for entry, items in list_entries(path, "instances"):
        for place, item in enumerate(items, start=1):
            instance = _instance(item, indices)
            if isinstance(instance, str):
                raise invalid(path, entry, f"instance {place}: {instance}")
            blind += int(np.isnan(instance).all())
            numbers.extend(instance)
        spans[entry.key] = (count, count + len(items))
        count += len(items)
    if blind:
        log.warning(
            "%d of %d instances in %s show no keypoint and are left out", blind, count, path.name
        )
    points = np.array(numbers, dtype=np.float32).reshape(count, len(indices), 2)
    check_no_shares(path, points, "keypoints")
    return KeypointAnnotations(path.name, info, spans, points)


def _instance(item: Value, indices: Mapping[str, int]) -> list[float] | str:
    """x, y of each keypoint, NaN where invisible, or what is wrong with the entry."""
    if not isinstance(item, dict):
        return f"must be {{keypoint: [x, y], ...}}, null for an invisible one; is {quoted(item)}"
    numbers = [np.nan] * (2 * len(indices))
    for name, value in item.items():
        if name not in indices:
            if name == SCORE:
                continue
            return unknown_name(name, list(indices), "keypoint", "keypoints")
        if value is None:
            continue
        place = point(value)
        if place is None:
            text = f"{name} must be [x, y], two numbers, or null where it is invisible"
            is_flagged = isinstance(value, list) and len(value) == 3
            return f"{text}, and is {quoted(value)}{_FLAG if is_flagged else ''}"
        numbers[2 * indices[name] : 2 * indices[name] + 2] = place
    return numbers


FORMAT = Format(read_info, read)
