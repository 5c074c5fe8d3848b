"""`python -m tests.bench.records`: what it takes to read a project's records over S3.

Records as the trainer leaves them lie in a real S3 server on the same machine. Of each project the
first look and a later one are measured, and of a job of 24 hours all its curves, merged and not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sihl_api.record import JobRecord, JobSummary, RecordPaths
from sihl_api.trainingjob import TrainingJobSpec
from sihl_dashboard.records import JobRef, Query, Records, S3Place, S3Settings, View
from tests.bench.report import tell
from tests.support.s3 import S3Server, serve

T = TypeVar("T")

NAMESPACE, PROJECT, DAY = "bench", "cells", "day"
LINES = 17_280
"""A line each five seconds, for 24 hours."""
HEADS = ("boxes", "masks", "labels")
COLUMNS = ("job.state", "job.step", "job.createdAt", "spec.training.seed",
           "spec.training.optimizer.learningRate", "validation/boxes/map")  # fmt: skip
BEGIN = datetime(2026, 1, 2, tzinfo=UTC)


def spec(number: int) -> TrainingJobSpec:
    """Of one of many jobs."""
    dataset = {
        "train": {"endpoint": "http://s3", "bucket": "data", "prefix": f"cells-{number % 3}"}
    }
    heads = [{"name": name, "task": "ObjectDetection", "annotations": name} for name in HEADS]
    training = {"seed": number, "optimizer": {"learningRate": 10.0 ** -(1 + number % 4)}}
    return TrainingJobSpec.model_validate(
        {"project": PROJECT, "dataset": dataset, "model": {"heads": heads}, "training": training}
    )


def spelled(time: datetime) -> str:
    """As the record has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def summary(number: int, ended: bool) -> JobSummary:
    """As the trainer keeps it."""

    def metric(value: float, better: str) -> dict[str, Any]:
        point = {"step": 9000, "value": value}
        return {"last": point, "min": point, "max": point, "best": point, "better": better}

    chance = number % 97 / 97
    end = {"endedAt": spelled(BEGIN), "reason": "Succeeded"} if ended else {}
    attempt = {"number": 1, "startedAt": spelled(BEGIN), "firstStep": 1, "lastStep": 10_000, **end}
    return JobSummary.model_validate(
        {
            "updatedAt": spelled(BEGIN),
            "train": {f"{head}/{loss}": metric(chance, "lower")
                      for head in HEADS for loss in ("box", "class", "centre")},
            "validation": {f"{head}/{name}": metric(1 - chance, "higher")
                           for head in HEADS for name in ("map", "map50", "recall")},
            "attempts": [attempt],
            "progress": {"step": 10_000, "maxSteps": 10_000},
        }
    )  # fmt: skip


def paths_of(name: str, number: int) -> RecordPaths:
    """Where a job's record lies."""
    return RecordPaths("runs", NAMESPACE, PROJECT, name, f"{number:08x}")


def project(count: int, living: int) -> Iterator[tuple[str, bytes]]:
    """The records of so many jobs, without their lines."""
    for number in range(count):
        name = f"job-{number:05d}"
        paths = paths_of(name, number)
        job = JobRecord(
            namespace=NAMESPACE,
            name=name,
            uid=f"{number:08x}",
            spec=spec(number),
            image="sihl-trainer:1",
            versions={"torch": "2.15", "sihl": "1"},
            created_at=spelled(BEGIN + timedelta(minutes=number)),
        )
        yield paths.job_json, job.model_dump_json(by_alias=True, exclude_none=True).encode()
        told = summary(number, ended=number >= living)
        yield paths.summary, told.model_dump_json(by_alias=True, exclude_none=True).encode()


def lines() -> list[bytes]:
    """A day's, as three heads measure it."""
    found = []
    for number in range(LINES):
        is_validation = number % 1728 == 1727
        names = ("map", "map50", "recall") if is_validation else ("box", "class", "centre")
        values = {f"{head}/{name}": 1.0 / (1 + number) for head in HEADS for name in names}
        line = {
            "time": spelled(BEGIN + timedelta(seconds=5 * number)),
            "step": 20 * (number + 1),
            "kind": "validation" if is_validation else "train",
            "values": values,
        }
        found.append(json.dumps(line).encode() + b"\n")
    return found


def put(server: S3Server, objects: Iterator[tuple[str, bytes]]) -> None:
    """Write many objects."""
    with ThreadPoolExecutor(8) as pool:

        def write(item: tuple[str, bytes]) -> None:
            server.client.put_object(Bucket="data", Key=item[0], Body=item[1])

        for _ in pool.map(write, objects):
            pass


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What work returns, and its seconds."""
    began = time.perf_counter()
    found = work()
    return found, time.perf_counter() - began


def median(work: Callable[[], object]) -> float:
    """Seconds that work takes, of five times."""
    return statistics.median(timed(work)[1] for _ in range(5))


def opened(server: S3Server, scratch: Path | None = None) -> Records:
    """As a process opens them that has seen nothing yet."""
    return Records(S3Place(S3Settings(server.endpoint, "data", *server.reader, "runs")), scratch)


def listing(server: S3Server, folder: Path, count: int) -> dict[str, Any]:
    """The first look at a project, a later one, and one by another process."""
    query = Query(COLUMNS, order_by="validation/boxes/map", limit=100)
    records = opened(server, folder / "scratch")

    def look(age: float, patience: float | None = None) -> int:
        return records.jobs(NAMESPACE, PROJECT, query, age, patience).total

    total, first = timed(lambda: look(0))
    assert total == count, total
    again, index = median(lambda: look(0)), median(lambda: look(1000))
    impatient = median(lambda: look(0, 0.05))
    records.close()
    records = opened(server, folder / "scratch")
    _, restarted = timed(lambda: look(0))
    refs = [row.ref for row in records.jobs(NAMESPACE, PROJECT, query).rows[:50]]
    compared = median(lambda: records.differences(refs))
    records.close()
    return {
        f"{count} jobs: first look, s": first,
        f"{count} jobs: later look at the store, ms": 1000 * again,
        f"{count} jobs: answer from the index, ms": 1000 * index,
        f"{count} jobs: answer while a look goes on, after 50, ms": 1000 * impatient,
        f"{count} jobs: first look after a restart, ms": 1000 * restarted,
        f"differences of {len(refs)} of them, ms": 1000 * compared,
    }


def day(server: S3Server) -> dict[str, Any]:
    """All curves of a job of 24 hours."""
    found = {}
    written = lines()
    text = b"".join(written)
    for kind, number in (("merged", 1), ("in pieces", 2)):
        paths = paths_of(DAY, number)
        objects = {paths.metrics(1, 0, LINES - 1): text}
        if kind == "in pieces":
            objects = {paths.metrics(1, i): line for i, line in enumerate(written)}
        put(server, iter(objects.items()))
        put(server, iter({paths.summary: summary(number, True).model_dump_json().encode()}.items()))
        ref = JobRef(NAMESPACE, PROJECT, f"{DAY}.{number:08x}")
        records: list[Records] = []

        def first(ref: JobRef = ref, records: list[Records] = records) -> float:
            records.append(opened(server))
            records[-1].job(ref)  # the connection is there, as a server's is
            curves, spent = timed(lambda: records[-1].curves([ref]))
            assert curves.points == 9 * LINES, curves.points
            return spent

        times = [first() for _ in range(5 if kind == "merged" else 1)]
        zoom = View(first=100_000, last=200_000, smoothing=1000)
        found[f"a day's curves, {kind}: first, ms"] = 1000 * statistics.median(times)
        again = median(partial(records[-1].curves, [ref], zoom))
        found[f"a day's curves, {kind}: zoomed and smoothed, ms"] = 1000 * again
        for each in records:
            each.close()
    return found


def main() -> int:
    """Print figures, and write them as JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.records", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--living", type=int, default=20, help="jobs that have not ended")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sihl-") as place:
        folder = Path(place)
        with serve(folder / "store") as server:
            server.make_bucket("data")
            put(server, project(given.jobs, given.living))
            figures = listing(server, folder, given.jobs) | day(server)
    tell(figures, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
