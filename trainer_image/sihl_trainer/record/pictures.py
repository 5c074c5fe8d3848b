"""Pictures of validations on their way into the record: in the background, after all else."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from sihl_api.record import RecordPaths
from sihl_trainer.newest import Newest
from sihl_trainer.record.store import Store

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 0.2


class PictureUploader:
    """Uploads one folder at a time, file by file, and deletes it; one more at most waits.

    Nothing is tried a second time: the next validation brings the next pictures.

    Args:
        store: Where to.
        paths: The job's record.
        attempt: The number under which everything is written.
        is_pressed: Whether something else needs the store or the time; asked before each file.
    """

    def __init__(
        self, store: Store, paths: RecordPaths, attempt: int, is_pressed: Callable[[], bool]
    ) -> None:
        self._store = store
        self._paths = paths
        self._attempt = attempt
        self._is_pressed = is_pressed
        self._newest = Newest(self._upload, "pictures")
        self._failing = False
        self._dropped = False

    def add(self, step: int, folder: Path) -> None:
        """Upload a folder when there is time, instead of one that still waits. Never raises."""
        replaced = self._newest.put((step, folder))
        if replaced is None:
            return
        if not self._dropped:  # said once: the next ones may follow as fast
            log.warning("Pictures of step %d are dropped for newer ones", replaced[0])
        self._dropped = True
        shutil.rmtree(replaced[1], ignore_errors=True)

    def finish(self) -> None:
        """Return when nothing is left to upload; at once where something else is pressing."""
        if not self._is_pressed():
            self._newest.finish()

    def _upload(self, pictures: tuple[int, Path]) -> None:
        step, folder = pictures
        prefix = self._paths.pictures(self._attempt, step)
        try:
            for path in sorted(folder.glob("*/*")):
                while self._is_pressed():
                    time.sleep(_PAUSE_SECONDS)
                self._store.put(prefix + path.relative_to(folder).as_posix(), path.read_bytes())
        except Exception as error:  # whatever it is, it costs pictures and nothing else
            if not self._failing:  # said once an outage
                log.warning("Pictures of step %d are not in the record: %s", step, error)
            self._failing = True
        else:
            self._failing = False
        shutil.rmtree(folder, ignore_errors=True)
