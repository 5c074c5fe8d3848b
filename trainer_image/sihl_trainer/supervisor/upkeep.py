"""What a record needs once an hour while an attempt runs, so that reading it stays fast."""

from __future__ import annotations

import threading
import time

from sihl_trainer.record.summary import SummaryKeeper
from sihl_trainer.record.writer import RecordWriter

UPKEEP_SECONDS = 3600.0


class Upkeep:
    """Merges segments and writes the summary, beside all else.

    Args:
        writer: Of the attempt's segments.
        summary: The job's.
        seconds: Between two times.
    """

    def __init__(
        self, writer: RecordWriter, summary: SummaryKeeper, seconds: float = UPKEEP_SECONDS
    ) -> None:
        self._writer = writer
        self._summary = summary
        self._seconds = seconds
        self._last = time.monotonic()
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Begin if it is time, and the last one is done."""
        if time.monotonic() - self._last < self._seconds:
            return
        if self._thread is None or not self._thread.is_alive():
            self._last = time.monotonic()
            self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        self._summary.write_soon()
        self._writer.merge()
