"""Writes the runs for TensorBoard and for MLflow: run by the environment that has both.

    python -m tests.bench.dashboard.theirs_written FOLDER RUNS POINTS

FOLDER/events has an event file a run, a scalar an event, as PyTorch's SummaryWriter leaves it.
FOLDER/mlflow.db is the SQLite store: runs, settings and last values by MLflow's own client, the
points before by one insertion into its table of metrics, which takes minutes less than the client.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

from mlflow import MlflowClient  # type: ignore[import-not-found]
from mlflow.entities import Metric, Param  # type: ignore[import-not-found]
from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-not-found]
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-not-found]
from tensorboard.summary.writer.record_writer import (  # type: ignore[import-not-found]
    RecordWriter,
)

from tests.bench.dashboard.values import KIND, NAMES, clock, name, rate, steps, values

EXPERIMENT = "cells"
Point = tuple[str, float, int, int]
"""Metric, value, seconds since 1970, step."""


def points_of(run: int, points: int) -> Iterator[Point]:
    """In the order in which a training writes them."""
    found = values(run, points)
    for at, (second, step) in enumerate(zip(clock(run, points), steps(points), strict=True)):
        for metric, of_metric in found.items():
            yield f"{KIND}/{metric}", float(of_metric[at]), int(second), int(step)


def write_events(folder: Path, run: int, points: int) -> None:
    """One event file."""
    folder.mkdir(parents=True)
    file = folder / f"events.out.tfevents.{clock(run, points)[0]}.bench.1.0"
    with file.open("wb") as opened:
        writer = RecordWriter(opened)
        begin = Event(wall_time=float(clock(run, points)[0]), file_version="brain.Event:2")
        writer.write(begin.SerializeToString())
        for metric, value, second, step in points_of(run, points):
            summary = Summary(value=[Summary.Value(tag=metric, simple_value=value)])
            event = Event(wall_time=float(second), step=step, summary=summary)
            writer.write(event.SerializeToString())
        writer.flush()


def write_mlflow(file: Path, runs: int, points: int) -> None:
    """The store, with one experiment."""
    client = MlflowClient(f"sqlite:///{file}")
    experiment = client.create_experiment(EXPERIMENT)
    history = []
    for run in range(runs):
        began = int(clock(run, points)[0]) * 1000
        made = client.create_run(experiment, start_time=began, run_name=name(run)).info.run_id
        told = list(points_of(run, points))
        last = [Metric(key, value, 1000 * at, step) for key, value, at, step in told[-len(NAMES) :]]
        settings = [Param("learning rate", str(rate(run))), Param("seed", str(run))]
        client.log_batch(made, metrics=last, params=settings)
        client.set_terminated(made, end_time=last[-1].timestamp)
        history.append((made, told[: -len(last)]))
    with sqlite3.connect(file) as base:
        for made, told in history:
            base.executemany(
                "insert into metrics (run_uuid, key, value, timestamp, step, is_nan)"
                " values (?, ?, ?, ?, ?, 0)",
                ((made, key, value, 1000 * at, step) for key, value, at, step in told),
            )


def main() -> None:
    """Both."""
    folder, runs, points = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    for run in range(runs):
        write_events(folder / "events" / name(run), run, points)
    write_mlflow(folder / "mlflow.db", runs, points)


if __name__ == "__main__":
    main()
