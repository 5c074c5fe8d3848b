"""Checkpoints in the record: which of them stand, and the latest brought back whole."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sihl_api.record import MANIFEST, Manifest, RecordPaths, checkpoint_of
from sihl_api.status import CheckpointStatus
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
    return _standing_of(_listed(store, paths), store, paths)


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
    listed: list[tuple[int, int]] | None = None
    # All that was listed may be gone when it is read: an attempt whose node was lost for a while
    # goes on saving, and removes what its newest supersedes. Then there is a newer one to list.
    while listed != (listed := _listed(store, paths)):
        for prefix, status in _standing_of(listed, store, paths):
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


def remove_superseded(store: Store, paths: RecordPaths, attempt: int, step: int) -> None:
    """Remove what is older than an attempt's newest checkpoint and the whole one before it.

    That one is kept for the case that the newest is damaged. Checkpoints of later attempts are
    not this one's to judge. The oldest goes first, and of each the manifest: whatever is left
    when this is broken off does not exist, and goes the next time.

    Raises:
        TrainerError: the store does not allow it, or is away.
    """
    newest = (step, attempt)
    older = [at for at in _listed(store, paths) if at < newest and at[1] <= attempt]
    spare = next(_standing_of(older, store, paths), None)
    if spare is None:
        return
    for old_step, old_attempt in reversed(older):
        prefix = paths.checkpoint(old_attempt, old_step)
        if prefix == spare[0]:
            return
        store.delete(prefix + MANIFEST)
        for item in store.objects(prefix):
            store.delete(item.key)


def _standing_of(
    listed: list[tuple[int, int]], store: Store, paths: RecordPaths
) -> Iterator[tuple[str, CheckpointStatus]]:
    for step, attempt in listed:
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


def _listed(store: Store, paths: RecordPaths) -> list[tuple[int, int]]:
    """(step, attempt) of the folders of checkpoints, the latest first, whole or not."""
    # By their files: SeaweedFS goes on listing a folder whose last file was removed.
    keys = [
        item.key
        for attempt in store.folders(paths.attempts)
        if attempt.isdecimal()
        for item in store.objects(f"{paths.attempt(int(attempt))}checkpoints/")
    ]
    found = {at for key in keys if (at := checkpoint_of(key))}
    return sorted(found, reverse=True)
