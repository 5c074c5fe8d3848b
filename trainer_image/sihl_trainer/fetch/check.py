"""Reads all annotations, decodes all images, holds them together, before a GPU waits for them."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sihl_api.fingerprint import SplitFingerprint
from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.cpus import available_cpus
from sihl_trainer.data.images import decode_fully
from sihl_trainer.data.names import TRAIN, VALIDATION
from sihl_trainer.dataset.feeds import Split, check_suited, open_split
from sihl_trainer.dataset.holdout import hold_out
from sihl_trainer.dataset.metadata import IMAGES
from sihl_trainer.errors import BadData
from sihl_trainer.fetch.fingerprint import FileMark, fingerprint
from sihl_trainer.fetch.oddities import oddities
from sihl_trainer.fetch.progress import FetchProgress

log = logging.getLogger(__name__)

ENOUGH_FAULTS = 50
"""After these no more are looked for: the dataset needs a person already."""
_CHUNK = 1024
_MOST_THREADS = 8


def open_to_check(
    spec: TrainingJobSpec, split: str, root: Path, names: Sequence[str] | None = None
) -> Split:
    """A split's annotations, read and checked against its images' names.

    Args:
        spec: The job's.
        split: train or validation.
        root: The folder that holds train/ and, where the job has one, validation/.
        names: Of the files in images/, where these have yet to be fetched.

    Raises:
        BadData: They are at odds with the format or with the images, or too few.
        BadConfig: A head asks for annotations that the dataset does not have, or that it cannot
            learn from with the job's settings.
    """
    heads = spec.model.heads
    if split == VALIDATION:
        return open_split(root / split, heads, open_split(root / TRAIN, heads).feeds, names)
    opened = open_split(root / split, heads, names=names)
    check_suited(opened, spec)
    if spec.dataset.validation is None:
        hold_out(opened, spec.dataset.validation_fraction, spec.training.seed)
    return opened


def check_images(split: Split, progress: FetchProgress) -> list[str]:
    """Decode the annotated images of a split, in parallel, and check their annotations.

    Returns:
        What of the images is not shown as it is stored, for a person.

    Raises:
        BadData: An image that cannot be decoded, or an annotation that does not fit its image.
            The message is the first fault's, by name; the log has them all.
    """
    progress.checking(len(split.annotated))

    def check(name: str) -> tuple[str, ...] | BadData:
        found = _remarks(split, name)
        progress.advance(1)
        return found

    faults: list[BadData] = []
    remarks: dict[str, list[str]] = defaultdict(list)
    # Decoding releases the interpreter's lock, so threads use every core. Each holds a whole image.
    with ThreadPoolExecutor(min(available_cpus(), _MOST_THREADS)) as pool:
        for at in range(0, len(split.annotated), _CHUNK):
            names = split.annotated[at : at + _CHUNK]
            for name, found in zip(names, pool.map(check, names), strict=True):
                if isinstance(found, BadData):
                    faults.append(found)
                    continue
                for remark in found:
                    remarks[remark].append(name)
            if len(faults) >= ENOUGH_FAULTS:
                break
    for fault in faults[:ENOUGH_FAULTS]:
        log.error("%s", fault)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        more = f"and {len(faults) - 1} more: see the log"
        raise BadData(faults[0].reason, f"{faults[0]} ({more})")
    return [f"{_shown(names)}: {remark}" for remark, names in remarks.items()]


def check_settings(spec: TrainingJobSpec, split: str, opened: Split) -> list[str]:
    """Hold the job's settings to the sizes of the training images, which `check_images` has read.

    Returns:
        What the settings waste, for a person.

    Raises:
        BadConfig: A head cannot learn from images of these sizes with the job's settings.
    """
    if split != TRAIN:
        return []
    check_suited(opened, spec)
    return [
        f"head {head.name!r}: {text}"
        for head in spec.model.heads
        if (text := opened.feeds[head.name].annotations.remark(head, spec))
    ]


def check_whole(
    spec: TrainingJobSpec,
    split: str,
    opened: Split,
    progress: FetchProgress,
    train: SplitFingerprint | None,
    marks: Callable[[], Sequence[FileMark]],
) -> tuple[SplitFingerprint, list[str]]:
    """Check all of a split that is there; returns its fingerprint, and warnings for a person.

    Args:
        spec: The job's.
        split: train or validation.
        opened: The split.
        progress: Is told of it.
        train: The training set's fingerprint, where this is the validation set.
        marks: Of its files, once these are known to be good.

    Raises:
        BadData, BadConfig: As `check_images` and `check_settings`.
    """
    warnings = check_images(opened, progress)
    warnings += check_settings(spec, split, opened)
    found = fingerprint(opened, marks())
    warnings += oddities(spec, split, opened, found, train)
    for warning in warnings:
        log.warning("%s", warning)
    return found, warnings


def _remarks(split: Split, name: str) -> tuple[str, ...] | BadData:
    try:
        (width, height), remarks = decode_fully(split.folder / IMAGES / name)
    except BadData as fault:
        return fault
    for annotation_set in split.sets.values():
        if text := annotation_set.fault(name, width, height):
            return BadData("DatasetAnnotationInvalid", text)
    return remarks


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
    return f"{IMAGES}/{names[0]}{more}"
