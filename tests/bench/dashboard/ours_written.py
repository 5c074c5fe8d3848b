"""Writes records into a folder, as trainers leave them: the runs, and a project of many jobs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sihl_trainer.record.columns import write_columns
from sihl_trainer.record.store import FolderStore
from tests.bench.dashboard.values import KIND, clock, name, rate, steps, values
from tests.bench.records import project, spelled
from tests.support.recorded import SPEC, changed, recorded

NAMESPACE = "team-a"
"""That of tests.support.recorded."""
PROJECT = "cells"


def write_runs(root: Path, runs: int, points: int) -> list[str]:
    """A record a run, each of one attempt that has ended; their folders' names."""
    return [_write(root, run, points) for run in range(runs)]


def _write(root: Path, run: int, points: int) -> str:
    record = recorded(root, name(run), uid=f"{run:08x}")
    times = [spelled(datetime.fromtimestamp(float(at), UTC)) for at in clock(run, points)]
    settings = {
        "seed": run,
        "maxSteps": int(steps(points)[-1]),
        "optimizer": {"learningRate": rate(run)},
    }
    record.job(changed(SPEC, **settings), created_at=times[0])
    measured = values(run, points)
    lines = [
        {"time": time, "step": int(step), "kind": KIND,
         "values": {metric: float(of_metric[at]) for metric, of_metric in measured.items()}}
        for at, (time, step) in enumerate(zip(times, steps(points), strict=True))
    ]  # fmt: skip
    text = "".join(json.dumps(line) + "\n" for line in lines)
    record.put(record.paths.metrics(1, 0, points - 1), text.encode())
    write_columns(FolderStore(root), record.paths, 1)
    first, last = int(steps(points)[0]), int(steps(points)[-1])
    attempt = {"number": 1, "startedAt": times[0], "firstStep": first, "lastStep": last,
               "endedAt": times[-1], "reason": "Succeeded"}  # fmt: skip
    told = {metric: _told(of_metric) for metric, of_metric in measured.items()}
    record.summary([attempt], train=told, updatedAt=times[-1])
    return record.ref.folder


def _told(found: NDArray[np.float64]) -> dict[str, Any]:
    at = steps(len(found))

    def point(index: int) -> dict[str, Any]:
        return {"step": int(at[index]), "value": float(found[index])}

    least = point(int(found.argmin()))
    return {"last": point(len(found) - 1), "min": least, "max": point(int(found.argmax())),
            "best": least, "better": "lower"}  # fmt: skip


def write_project(root: Path, jobs: int) -> None:
    """A project of so many jobs, without their lines: what its table shows."""
    for key, data in project(jobs, living=min(20, jobs)):
        file = root / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
