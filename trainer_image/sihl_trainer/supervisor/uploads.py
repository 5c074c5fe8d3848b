"""Brings what the worker wrote into the record, each in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from sihl_api.record import RecordPaths
from sihl_api.status import CheckpointStatus
from sihl_trainer.errors import TrainerError
from sihl_trainer.record.checkpoints import checkpoint_status, remove_superseded
from sihl_trainer.record.folders import TornFolderError, upload_folder
from sihl_trainer.record.models import model_status, upload_model
from sihl_trainer.record.store import Store
from sihl_trainer.record.writable import Writable
from sihl_trainer.supervisor import events

log = logging.getLogger(__name__)


class Uploads:
    """Of an attempt.

    Args:
        store: Where the record lies.
        paths: Of the job's record.
        attempt: Its number.
        writable: Told of what is written and what cannot be.
        saved: Told of each checkpoint, its bytes and the seconds that it took, from an upload's
            thread, before the event is put.
        put: Is given how each upload ended.
    """

    def __init__(
        self,
        store: Store,
        paths: RecordPaths,
        attempt: int,
        writable: Writable,
        saved: Callable[[CheckpointStatus, int, float], None],
        put: Callable[[events.Event], None],
    ) -> None:
        self._store = store
        self._paths = paths
        self._attempt = attempt
        self._writable = writable
        self._saved = saved
        self._put = put
        self._removal_refused = False

    def begin(self, upload: events.Upload) -> None:
        """Start it; how it ended is an event."""
        threading.Thread(target=self._run, args=(upload,), name="upload", daemon=True).start()

    def _run(self, upload: events.Upload) -> None:
        event = self._ended(upload)
        self._put(event)
        if isinstance(event, events.CheckpointDurable):
            self._remove_superseded(event.checkpoint.step)

    def _ended(self, upload: events.Upload) -> events.Event:
        what = "model" if upload.is_model else "checkpoints"
        try:
            event = self._uploaded(upload)
        except TrainerError as error:
            self._writable.failed(what, error)
            return events.UploadFailed(str(error))
        except Exception as error:
            hopeless = isinstance(error, TornFolderError | FileNotFoundError)
            log.exception("Uploading %s failed", upload.directory)
            if not hopeless:
                self._writable.failed(what, error)
            return events.UploadFailed(f"{type(error).__name__}: {error}", hopeless)
        self._writable.wrote(what)
        return event

    def _uploaded(self, upload: events.Upload) -> events.ModelDurable | events.CheckpointDurable:
        """Uploads it.

        Raises:
            TrainerError: The store does not take it.
            TornFolderError: What the worker wrote is not whole.
        """
        store, paths, began = self._store, self._paths, time.monotonic()
        if upload.is_model:
            model = model_status(store, paths, upload_model(store, paths, upload.directory))
            log.info("The %s is in the record (%.1f s)", upload, time.monotonic() - began)
            return events.ModelDurable(model)
        prefix = paths.checkpoint(self._attempt, upload.step)
        manifest = upload_folder(store, upload.directory, prefix)
        seconds = time.monotonic() - began
        log.info("The %s is in the record (%.1f s)", upload, seconds)
        checkpoint = checkpoint_status(store, prefix, manifest)
        self._saved(checkpoint, sum(entry.bytes for entry in manifest.files.values()), seconds)
        return events.CheckpointDurable(checkpoint)

    def _remove_superseded(self, step: int) -> None:
        try:
            remove_superseded(self._store, self._paths, self._attempt, step)
        except TrainerError as error:
            if not self._removal_refused:  # said once: it costs space, and nothing else
                log.warning("Superseded checkpoints stay in the store: %s", error)
            self._removal_refused = True
