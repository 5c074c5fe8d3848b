"""Checkpoints in the record: which of them stand, and the latest brought back whole."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sihl_api.record import MANIFEST, Manifest, RecordPaths
from sihl_api.trainingjob import CheckpointStatus
from sihl_trainer.record.folders import TornFolderError, check_sizes, download_folder, read_manifest
from sihl_trainer.record.store import MissingObjectError, Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Restored:
    """A checkpoint that was brought here."""

    directory: Path
    status: CheckpointStatus


def checkpoint_status(store: Store, prefix: str, manifest: Manifest) -> CheckpointStatus:
    """A checkpoint as a job's status tells it."""
    return CheckpointStatus(
        step=manifest.step, uri=store.uri(prefix.rstrip("/")), saved_at=manifest.saved_at
    )


def standing_checkpoints(
    store: Store, paths: RecordPaths
) -> Iterator[tuple[str, CheckpointStatus]]:
    """Checkpoints of all attempts with a manifest and files of its sizes, the latest first.

    The later step wins, then the later attempt. Yields the folder's prefix beside each.
    """
    for step, attempt in _listed(store, paths):
        prefix = paths.checkpoint(attempt, step)
        try:
            manifest = read_manifest(store, prefix)
            if (manifest.step, manifest.attempt) != (step, attempt):
                raise TornFolderError(f"{store.uri(prefix + MANIFEST)} is another checkpoint's")
            check_sizes(store, prefix, manifest)
        except MissingObjectError:
            continue  # without a manifest it does not exist: its upload was interrupted
        except TornFolderError as torn:
            log.warning("Skipping a torn checkpoint: %s", torn)
            continue
        yield prefix, checkpoint_status(store, prefix, manifest)


def restore_latest(
    store: Store,
    paths: RecordPaths,
    into: Path,
    standing: Callable[[CheckpointStatus | None], None] = lambda _: None,
) -> Restored | None:
    """Bring the latest whole checkpoint to this machine; None where the record has none.

    A torn one (a file missing, cut off or changed) is skipped for the one before it.

    Args:
        store: Where the record lies.
        paths: The job's record.
        into: The folder to be made, replaced if it is there.
        standing: Told, before each download, which checkpoint stands as far as is known.
    """
    for prefix, status in standing_checkpoints(store, paths):
        standing(status)
        log.info("Resuming from step %d: downloading %s", status.step, status.uri)
        try:
            download_folder(store, prefix, into)
        except (TornFolderError, MissingObjectError) as torn:
            log.warning("Skipping a torn checkpoint: %s", torn)
            continue
        return Restored(into, status)
    standing(None)
    return None


def _listed(store: Store, paths: RecordPaths) -> list[tuple[int, int]]:
    """(step, attempt) of the folders of checkpoints, the latest first, whole or not."""
    found = [
        (int(step), int(attempt))
        for attempt in store.folders(paths.attempts)
        if attempt.isdecimal()
        for step in store.folders(f"{paths.attempt(int(attempt))}checkpoints/")
        if step.isdecimal()
    ]
    return sorted(found, reverse=True)
