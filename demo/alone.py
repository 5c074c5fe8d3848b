"""Where no cluster can be had: the same jobs through the trainer alone, in queue order."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import yaml

from demo.commands import ROOT, DemoError, say, uv
from demo.datasets import made
from demo.jobs import FILES, read


def queue_order(jobs: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """One job at a time, each project's in turn; within one by priority, then as submitted."""
    queues: dict[str, list[dict[str, Any]]] = {}
    for job in jobs:
        queues.setdefault(job["spec"]["project"], []).append(job)
    for queue in queues.values():
        queue.sort(key=lambda job: -job["spec"].get("priority", 0))
    for turn in zip_longest(*queues.values()):
        yield from (job for job in turn if job is not None)


def run_jobs() -> None:
    """Run each job by `sihl-trainer local`.

    Raises:
        DemoError: A job did not succeed.
    """
    say(
        "Running the same job files on this machine by `sihl-trainer local`, one after the other.\n"
    )
    record = Path.cwd() / "sihl-record"
    for job in queue_order(read(path) for path in FILES):
        name = job["metadata"]["name"]
        job["spec"].setdefault("runner", {})["gpus"] = 0
        kind = Path(job["spec"]["dataset"]["train"]["prefix"]).parent.name
        say(f"--- {name}")
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(job, file)
            file.flush()
            done = subprocess.run(
                [uv(), "run", "--project", ROOT, "--locked", "--no-default-groups",
                 "--extra", "trainer", "sihl-trainer", "local", file.name,
                 "--dataset", made(kind), "--output", record],
                check=False,
            )  # fmt: skip
        if done.returncode:
            raise DemoError(f"{name} ended with exit code {done.returncode}: see above")
    say(f"\nRecords, models and checkpoints: {record}")
