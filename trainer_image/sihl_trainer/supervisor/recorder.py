"""An attempt's part of the run record, from its first line to its end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from sihl_api.fingerprint import DatasetFingerprint
from sihl_api.record import AttemptSummary, Better, MetricLine, RecordPaths
from sihl_api.runtime import Result
from sihl_api.times import now
from sihl_trainer.errors import TrainerError
from sihl_trainer.fetch.fetched import fingerprint_of, read_fetched
from sihl_trainer.record.pictures import PictureUploader
from sihl_trainer.record.store import Store
from sihl_trainer.record.summary import SummaryKeeper
from sihl_trainer.record.writable import Writable
from sihl_trainer.record.writer import RecordWriter

log = logging.getLogger(__name__)

UPKEEP_SECONDS = 3600.0
"""Between two times that segments are merged."""


class Recorder:
    """Lines, pictures and summary, each on its way in the background.

    Args:
        store: Where to.
        paths: The job's record.
        attempt: The number under which everything is written.
        max_steps: Of the job's spec.
        dataset: The folder where the fetch left word of what it fetched.
        spool: A folder of this machine for lines that wait.
        is_pressed: Whether there is something more urgent than pictures; asked from any thread.
        upkeep_seconds: How often segments are merged while the attempt runs.
    """

    def __init__(
        self,
        store: Store,
        paths: RecordPaths,
        attempt: int,
        max_steps: int,
        dataset: Path,
        spool: Path,
        is_pressed: Callable[[], bool],
        upkeep_seconds: float,
    ) -> None:
        fetched = read_fetched(dataset)
        self.dataset: DatasetFingerprint | None = fingerprint_of(fetched)
        self.warnings = [
            f"the {split} dataset: {warning}"
            for split, each in fetched.items()
            for warning in each.warnings
        ]
        known = AttemptSummary(
            number=attempt,
            started_at=min((each.started_at for each in fetched.values()), default=now()),
            fetched_at=max((each.fetched_at for each in fetched.values()), default=None),
            dataset=self.dataset.digest if self.dataset else None,
        )
        self.writable = Writable()
        self.writer = RecordWriter(store, paths, attempt, spool, writable=self.writable)
        self.summary = SummaryKeeper(store, paths, known, max_steps)
        self.pictures = PictureUploader(store, paths, attempt, is_pressed)
        self._upkeep_seconds = upkeep_seconds
        self._kept_up_at = time.monotonic()
        self._upkeep: threading.Thread | None = None

    def metrics(self, line: MetricLine, better: Mapping[str, Better]) -> None:
        """Add a line of metrics, and which of a validation's values are the better ones."""
        self.writer.metrics(line)
        self.summary.line(line, better)

    def look_after(self) -> None:
        """Merge and sum up in the background, if it is time and the last one is done."""
        if time.monotonic() - self._kept_up_at < self._upkeep_seconds:
            return
        if self._upkeep is None or not self._upkeep.is_alive():
            self._kept_up_at = time.monotonic()
            self._upkeep = threading.Thread(target=self._keep_up, name="upkeep", daemon=True)
            self._upkeep.start()

    def close(self, result: Result, seconds: float) -> None:
        """Write the end, for so long at most: what matters most comes first."""
        self.summary.ended(result)

        def close() -> None:
            self.writer.close()
            try:
                self.writer.result(result)
            except TrainerError as error:
                log.warning("result.json could not be written: %s", error)
            self.summary.close()
            self.writer.merge()
            self.pictures.finish()
            self.writer.columns()

        closer = threading.Thread(target=close, name="close", daemon=True)
        closer.start()
        closer.join(seconds)

    def _keep_up(self) -> None:
        self.summary.write_soon()
        self.writer.merge()
