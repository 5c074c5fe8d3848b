"""How far a fetch is: for Prometheus, for the operator, and as log lines."""

from __future__ import annotations

import logging
import threading
import time

from prometheus_client import CollectorRegistry, Gauge

from sihl_api.runtime import ProgressReport
from sihl_api.status import Progress
from sihl_api.units import human_bytes, human_seconds
from sihl_trainer.recurring import Recurring

log = logging.getLogger(__name__)

INTERVAL = 5.0
"""Seconds between log lines."""
FETCHING = "Fetching"
CHECKING = "Checking"


class FetchProgress:
    """Counts what is fetched and then checked. Thread-safe.

    Args:
        split: train or validation.
    """

    def __init__(self, split: str) -> None:
        self.split = split
        self.stage = FETCHING
        self.registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._done = 0
        self._total = 0
        self._bytes: int | None = None  # of the dataset, once that is known
        self._resumed = 0
        self._began = time.monotonic()
        self._gauges = {
            name: Gauge(name, text, ["split"], registry=self.registry).labels(split)
            for name, text in (
                ("sihl_dataset_bytes", "Bytes of the dataset on disk."),
                ("sihl_dataset_total_bytes", "Bytes of the dataset."),
                ("sihl_dataset_checked_images", "Images decoded and checked."),
                ("sihl_dataset_images", "Images of the dataset."),
            )
        }

    def fetching(self, total: int, present: int) -> None:
        """Bytes begin to arrive; `present` of the `total` are there already."""
        self._bytes = total
        self._begin(FETCHING, total, present)
        self._gauges["sihl_dataset_total_bytes"].set(total)
        self._gauges["sihl_dataset_bytes"].set(present)

    def checking(self, images: int) -> None:
        """Images begin to be decoded."""
        self._begin(CHECKING, images, 0)
        self._gauges["sihl_dataset_images"].set(images)

    def advance(self, amount: int) -> None:
        """More bytes, or images; fewer where a file is fetched anew."""
        with self._lock:
            self._done += amount
            name = "bytes" if self.stage == FETCHING else "checked_images"
            self._gauges[f"sihl_dataset_{name}"].set(self._done)

    def report(self) -> ProgressReport:
        """What `GET /progress` answers."""
        with self._lock:
            fetching = self.stage == FETCHING
            progress = Progress(
                dataset_bytes=self._done if fetching else self._bytes,
                dataset_total_bytes=self._bytes,
                remaining=self._left(),
            )
            return ProgressReport(stage=self.stage, progress=progress)

    def line(self) -> str:
        """The state as a log line."""
        with self._lock:
            amounts = [self._done, self._total, round(self._rate())]
            done, total, rate = (
                map(human_bytes, amounts)
                if self.stage == FETCHING
                else (f"{amount:,} images" for amount in amounts)
            )
            percent = 100 * self._done // self._total if self._total else 0
            left = self._left()
            return f"{self.stage} {self.split}: {done} of {total} ({percent} %), {rate}/s" + (
                f", {left} left" if left else ""
            )

    def _begin(self, stage: str, total: int, present: int) -> None:
        with self._lock:
            self.stage = stage
            self._done, self._total, self._resumed = present, total, present
            self._began = time.monotonic()

    def _rate(self) -> float:
        return (self._done - self._resumed) / max(1e-3, time.monotonic() - self._began)

    def _left(self) -> str | None:
        rate = self._rate()
        return human_seconds((self._total - self._done) / rate) if rate > 0 else None


class ProgressLog(Recurring):
    """Logs a line every few seconds while the context lasts, and one at its end."""

    def __init__(self, progress: FetchProgress, interval: float = INTERVAL) -> None:
        self._progress = progress
        super().__init__(self._tell, interval, name="progress")

    def close(self) -> None:
        """Say how far it came."""
        super().close()
        self._tell()

    def _tell(self) -> None:
        log.info("%s", self._progress.line())
