"""What the fetch leaves beside a split, for whoever writes the run record.

The containers that fetch know the objects that they fetched; the one that trains has keys for the
record, and sees files only.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from sihl_api.fingerprint import DatasetFingerprint, SplitFingerprint
from sihl_api.runtime import Message
from sihl_api.times import now
from sihl_trainer.data.names import TRAIN, VALIDATION

log = logging.getLogger(__name__)


class Fetched(Message):
    """One split, there and checked; the times are RFC 3339.

    Attributes:
        warnings: What a person is to know of it, a sentence each.
        fullest: By head name, objects of the image that has most.
    """

    started_at: str
    fetched_at: str
    fingerprint: SplitFingerprint
    warnings: list[str] = Field(default_factory=list)
    fullest: dict[str, int] = Field(default_factory=dict)


def write_fetched(
    root: Path,
    split: str,
    started_at: str,
    fingerprint: SplitFingerprint,
    warnings: Sequence[str] = (),
    fullest: Mapping[str, int] | None = None,
) -> None:
    """Leave word of a split, in the folder that holds it, now that it is there and checked.

    A disk that has no room for it costs the record a fingerprint, and nothing else.
    """
    told = Fetched(
        started_at=started_at,
        fetched_at=now(),
        fingerprint=fingerprint,
        warnings=list(warnings),
        fullest=dict(fullest or {}),
    )
    try:
        _file(root, split).write_bytes(told.model_dump_json(by_alias=True).encode())
    except OSError as error:
        log.warning("The record will not say what the %s dataset was: %s", split, error)


def read_fetched(root: Path) -> dict[str, Fetched]:
    """What was left there, by split; nothing of those that nobody told of."""
    found = {}
    for split in (TRAIN, VALIDATION):
        try:
            found[split] = Fetched.model_validate_json(_file(root, split).read_bytes())
        except (OSError, ValidationError):
            continue
    return found


def train_of(root: Path) -> SplitFingerprint | None:
    """The training set's fingerprint, if word of it was left."""
    train = read_fetched(root).get(TRAIN)
    return None if train is None else train.fingerprint


def fingerprint_of(fetched: Mapping[str, Fetched]) -> DatasetFingerprint | None:
    """The whole dataset's; None where nobody told of its training set."""
    if TRAIN not in fetched:
        return None
    splits = {split: each.fingerprint for split, each in fetched.items()}
    return DatasetFingerprint(train=splits[TRAIN], validation=splits.get(VALIDATION))


def fullest_of(fetched: Mapping[str, Fetched]) -> dict[str, int]:
    """By head name, objects of the image that has most, in whichever split."""
    most: dict[str, int] = {}
    for each in fetched.values():
        for head, count in each.fullest.items():
            most[head] = max(count, most.get(head, 0))
    return most


def _file(root: Path, split: str) -> Path:
    return root / f"{split}.fetched.json"
