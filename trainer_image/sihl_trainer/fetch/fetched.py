"""What the fetch leaves beside a split, for whoever writes the run record.

The containers that fetch know the objects that they fetched; the one that trains has keys for the
record, and sees files only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from sihl_api.fingerprint import DatasetFingerprint, SplitFingerprint
from sihl_api.runtime import Message
from sihl_trainer.data.names import TRAIN, VALIDATION


class Fetched(Message):
    """One split, there and checked; the times are RFC 3339."""

    started_at: str
    fetched_at: str
    fingerprint: SplitFingerprint


def write_fetched(root: Path, split: str, fetched: Fetched) -> None:
    """Leave word of a split in the folder that holds it."""
    _file(root, split).write_bytes(fetched.model_dump_json(by_alias=True).encode())


def read_fetched(root: Path) -> dict[str, Fetched]:
    """What was left there, by split; nothing of those that nobody told of."""
    found = {}
    for split in (TRAIN, VALIDATION):
        try:
            found[split] = Fetched.model_validate_json(_file(root, split).read_bytes())
        except (OSError, ValidationError):
            continue
    return found


def fingerprint_of(fetched: Mapping[str, Fetched]) -> DatasetFingerprint | None:
    """The whole dataset's; None where nobody told of its training set."""
    if TRAIN not in fetched:
        return None
    splits = {split: each.fingerprint for split, each in fetched.items()}
    return DatasetFingerprint(train=splits[TRAIN], validation=splits.get(VALIDATION))


def _file(root: Path, split: str) -> Path:
    return root / f"{split}.fetched.json"
