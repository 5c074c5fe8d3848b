"""Writes an attempt's part of the run record while it runs: metrics, log, and its end."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sihl_api.record import JobRecord, MetricLine, RecordPaths
from sihl_api.runtime import JobReference, Result
from sihl_trainer.errors import TrainerError
from sihl_trainer.record.retry import backoff
from sihl_trainer.record.spool import Spool
from sihl_trainer.record.store import MissingObjectError, Store

log = logging.getLogger(__name__)

LOG_LIMIT_BYTES = 64 << 20
_PACKAGES = ("sihl", "torch", "torchvision", "torchmetrics", "safetensors")
_LAST_TRIES = 3
_SEGMENT = re.compile(r"/(metrics|log)-(\d+)\.")


class RecordWriter:
    """Ships lines every few seconds, from a thread of its own; survives the store's absence.

    Args:
        store: Where to.
        paths: The job's record.
        attempt: The number under which everything is written.
        spool: A folder of this machine for what waits.
        interval: Seconds between segments.
    """

    def __init__(
        self, store: Store, paths: RecordPaths, attempt: int, spool: Path, interval: float = 5
    ) -> None:
        self._store = store
        self._paths = paths
        self._attempt = attempt
        self._interval = interval
        self._metrics = Spool(spool / "metrics")
        self._log = Spool(spool / "log", limit_bytes=LOG_LIMIT_BYTES)
        self._first: dict[str, int] | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="record", daemon=True)

    def start(self) -> None:
        """Begin to ship."""
        self._thread.start()

    def metrics(self, line: MetricLine) -> None:
        """Add a line of metrics."""
        self._metrics.append(line.model_dump_json(by_alias=True).encode())

    def log(self, line: bytes) -> None:
        """Add a line of the log, already free of secrets."""
        self._log.append(line)

    def close(self) -> None:
        """Ship what is left, and return once the store has it or has failed three times more."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def result(self, result: Result) -> None:
        """Write the attempt's end. Raises what the store raises."""
        self._store.put(self._paths.result(self._attempt), result.encode())

    def _run(self) -> None:
        failures = 0
        while not self._closing.wait(backoff(failures) if failures else self._interval):
            failures = 0 if self._shipped(quiet=failures > 0) else failures + 1
        for _ in range(_LAST_TRIES):
            # Twice: the first time a segment may be waiting from before, beside the open one.
            if self._shipped(quiet=True) and self._shipped(quiet=True):
                return

    def _shipped(self, quiet: bool) -> bool:
        try:
            self._ship_all()
            return True
        except (TrainerError, MissingObjectError, OSError) as error:
            if not quiet:  # said once an outage: the log itself waits for the store
                log.warning("The record cannot be written for now: %s", error)
            return False

    def _ship_all(self) -> None:
        if self._first is None:
            self._first = self._free_segments()
        self._ship(self._metrics, self._paths.metrics, self._first["metrics"])
        self._ship(self._log, self._paths.log, self._first["log"])

    def _ship(self, spool: Spool, key: Callable[[int, int], str], first: int) -> None:
        for segment in spool.waiting():
            to = key(self._attempt, first + segment.number)
            if segment.held is not None:
                self._store.put(to, segment.held)
            elif segment.path.exists():
                self._store.upload(to, segment.path)
            else:
                continue  # dropped meanwhile, to make room
            spool.done(segment)

    def _free_segments(self) -> dict[str, int]:
        """The first numbers that are free: an attempt's pod may have been made a second time."""
        first = {"metrics": 0, "log": 0}
        for kind in first:
            for item in self._store.objects(f"{self._paths.attempt(self._attempt)}{kind}-"):
                if match := _SEGMENT.search(item.key):
                    first[kind] = max(first[kind], int(match.group(2)) + 1)
        return first


def write_job(store: Store, paths: RecordPaths, job: JobReference, image: str) -> None:
    """Write job.json unless an earlier attempt has."""
    try:
        store.get(paths.job_json)
    except MissingObjectError:
        record = JobRecord(
            namespace=job.namespace,
            name=job.name,
            uid=job.uid,
            spec=job.spec,
            image=image,
            versions=_versions(),
            created_at=now(),
        )
        store.put(
            paths.job_json,
            record.model_dump_json(by_alias=True, exclude_none=True, indent=1).encode(),
        )


def now() -> str:
    """The time as the API writes it: RFC 3339 in UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _versions() -> dict[str, str]:
    """Of what takes part in training, asked of package metadata: importing torch is not ours."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def last_validation(store: Store, paths: RecordPaths) -> MetricLine | None:
    """The latest validation in the record, over all attempts; None where there is none."""
    latest: MetricLine | None = None
    for attempt in sorted(int(a) for a in store.folders(paths.attempts) if a.isdecimal()):
        for item in reversed(store.objects(f"{paths.attempt(attempt)}metrics-")):
            lines = [MetricLine.model_validate_json(x) for x in store.get(item.key).splitlines()]
            found = [line for line in lines if line.kind == "validation"]
            if found:
                best = max(found, key=lambda line: line.step)
                latest = best if latest is None or best.step >= latest.step else latest
                break
    return latest
