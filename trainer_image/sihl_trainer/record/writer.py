"""Writes an attempt's part of the run record while it runs: metrics, log, and its end."""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import platform
import threading
from collections.abc import Callable
from pathlib import Path

from sihl_api.fingerprint import DatasetFingerprint
from sihl_api.record import JobRecord, MetricLine, RecordPaths, segments_of, to_read
from sihl_api.runtime import JobReference, Result
from sihl_api.times import now
from sihl_trainer.record.columns import write_columns
from sihl_trainer.record.retry import backoff
from sihl_trainer.record.segments import Kind, lines_in, listed, merge, settled
from sihl_trainer.record.spool import Spool
from sihl_trainer.record.store import MissingObjectError, Store
from sihl_trainer.record.writable import Writable
from sihl_trainer.recurring import Recurring

log = logging.getLogger(__name__)

LOG_LIMIT_BYTES = 64 << 20
_PACKAGES = ("sihl", "torch", "torchvision", "torchmetrics", "safetensors")
_LAST_TRIES = 3
_LINES = "metrics and log"
_KINDS: tuple[Kind, ...] = ("metrics", "log")


class RecordWriter:
    """Ships lines every few seconds, from a thread of its own; survives the store's absence.

    Args:
        store: Where to.
        paths: The job's record.
        attempt: The number under which everything is written.
        spool: A folder of this machine for what waits.
        interval: Seconds between segments.
        writable: Told of what is shipped and what cannot be.
    """

    def __init__(
        self,
        store: Store,
        paths: RecordPaths,
        attempt: int,
        spool: Path,
        interval: float = 5,
        writable: Writable | None = None,
    ) -> None:
        self._store = store
        self._paths = paths
        self._attempt = attempt
        self._interval = interval
        self._writable = writable or Writable()
        self._folder = spool
        self._metrics = Spool(spool / "metrics")
        self._log = Spool(spool / "log", limit_bytes=LOG_LIMIT_BYTES)
        self._first: dict[Kind, int] | None = None
        self._merging = threading.Lock()
        self._merge_failed = False
        self._failures = 0
        self._shipping = Recurring(self._ship_again, self._pause, name="record")

    def start(self) -> None:
        """Begin to ship."""
        self._shipping.start()

    def metrics(self, line: MetricLine) -> None:
        """Add a line of metrics."""
        self._metrics.append(line.model_dump_json(by_alias=True).encode())

    def log(self, line: bytes) -> None:
        """Add a line of the log, already free of secrets."""
        self._log.append(line)

    def close(self) -> None:
        """Ship what is left, and return once the store has it or has failed three times more."""
        self._shipping.close()
        for _ in range(_LAST_TRIES):
            # Twice: the first time a segment may be waiting from before, beside the open one.
            if self._shipped(quiet=True) and self._shipped(quiet=True):
                return

    def merge(self) -> None:
        """Merge what the record has of the attempt by now, beside what is being shipped.

        Where that cannot be, the segments stay, and are merged the next time. Never raises.
        """
        with self._merging:
            try:
                for kind in _KINDS:
                    merge(self._store, self._paths, self._attempt, kind, self._folder)
                self._merge_failed = False
            except Exception as error:  # whatever it is, it costs a reader time and nothing else
                if not self._merge_failed:
                    log.warning("The record's segments are not merged for now: %s", error)
                self._merge_failed = True

    def columns(self) -> None:
        """Write what the lines say as columns, once there will be no more. Never raises."""
        try:
            write_columns(self._store, self._paths, self._attempt)
        except Exception as error:  # as of merging
            log.warning("The record's columns are not written: %s", error)

    def result(self, result: Result) -> None:
        """Write the attempt's end. Raises what the store raises."""
        self._store.put(self._paths.result(self._attempt), result.encode())

    def _pause(self) -> float:
        return backoff(self._failures) if self._failures else self._interval

    def _ship_again(self) -> None:
        self._failures = 0 if self._shipped(quiet=self._failures > 0) else self._failures + 1

    def _shipped(self, quiet: bool) -> bool:
        try:
            self._ship_all()
            return True
        except Exception as error:  # whatever it is, the lines wait, and somebody is told
            self._writable.failed(_LINES, error)
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
            self._writable.trying(_LINES)
            to = key(self._attempt, first + segment.number)
            if segment.held is not None:
                self._store.put(to, segment.held)
            elif segment.path.exists():
                self._store.upload(to, segment.path)
            else:
                continue  # dropped meanwhile, to make room
            self._writable.wrote(_LINES)
            spool.done(segment)

    def _free_segments(self) -> dict[Kind, int]:
        """The first numbers that are free: an attempt's pod may have been made a second time."""
        first: dict[Kind, int] = dict.fromkeys(_KINDS, 0)
        for kind in _KINDS:
            for item in listed(self._store, self._paths, self._attempt, kind):
                _, last = segments_of(item.key) or (0, -1)
                first[kind] = max(first[kind], last + 1)
        return first


def write_job(
    store: Store,
    paths: RecordPaths,
    job: JobReference,
    image: str,
    dataset: DatasetFingerprint | None = None,
) -> None:
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
            submitted_at=job.created_at,
            dataset=dataset,
        )
        store.put(
            paths.job_json,
            record.model_dump_json(by_alias=True, exclude_none=True, indent=1).encode(),
        )


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
        found = settled(functools.partial(_last_validation, store, paths, attempt))
        if found is not None and (latest is None or found.step >= latest.step):
            latest = found
    return latest


def _last_validation(store: Store, paths: RecordPaths, attempt: int) -> MetricLine | None:
    keys = to_read(item.key for item in listed(store, paths, attempt, "metrics"))
    for key in reversed(keys):
        found = [line for line in lines_in(store, key) if line.kind == "validation"]
        if found:
            return max(found, key=lambda line: line.step)
    return None
