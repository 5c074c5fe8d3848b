"""Runs as TensorBoard and MLflow keep them; run by the Python that has these two.

    python tests/bench/rivals.py tensorboard|mlflow FOLDER RUNS POINTS

Both are written by their own libraries, with the same values that `tests.bench.dashboard` records.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import sys
from pathlib import Path

METRICS = ("loss", "accuracy", "rate")
START = 1_800_000_000


def value(run: int, metric: int, point: int) -> float:
    """The same everywhere."""
    return (1 + metric) / (1 + point) + run / 100


def tensorboard(folder: Path, runs: int, points: int) -> None:
    """A folder of events for each run."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    for run in range(runs):
        writer = EventFileWriter(str(folder / f"run-{run:03d}"), max_queue_size=1000)
        for point in range(points):
            values = [
                Summary.Value(tag=f"train/{name}", simple_value=value(run, number, point))
                for number, name in enumerate(METRICS)
            ]
            writer.add_event(
                Event(wall_time=START + point, step=point + 1, summary=Summary(value=values))
            )
        writer.close()


def mlflow(folder: Path, runs: int, points: int) -> None:
    """A database, as its documentation advises."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.create_experiment("cells")
    for run in range(runs):
        made = client.create_run(experiment, run_name=f"run-{run:03d}").info.run_id
        lines = [
            Metric(f"train/{name}", value(run, number, point), (START + point) * 1000, point + 1)
            for point in range(points)
            for number, name in enumerate(METRICS)
        ]
        for first in range(0, len(lines), 1000):
            client.log_batch(made, metrics=lines[first : first + 1000])
        client.set_terminated(made)


if __name__ == "__main__":
    kind, place, *counts = sys.argv[1:]
    Path(place).mkdir(parents=True, exist_ok=True)
    {"tensorboard": tensorboard, "mlflow": mlflow}[kind](Path(place), *map(int, counts))
