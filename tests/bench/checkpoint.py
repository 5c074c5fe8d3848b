"""`python -m tests.bench.checkpoint`: what a stop takes, and what periodic checkpoints cost.

The trainer's own container process and worker learn digits; the record lies in a real S3 server.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from examples import digits
from sihl_api.record import MetricLine, RecordPaths
from sihl_api.runtime import Env, JobReference
from sihl_trainer.record.checkpoints import standing_checkpoints
from sihl_trainer.record.s3 import S3Settings, S3Store
from sihl_trainer.record.segments import metric_lines, settled
from sihl_trainer.termination import PATH_VARIABLE
from tests.bench.report import tell
from tests.support.s3 import S3Server, free_ports, serve
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
BACKBONES = ("resnet18", "resnet50")
STEPS = {"resnet18": 500, "resnet50": 200}
OFTEN, NEVER = "10s", "10h"
TEN_MINUTES = 600.0
"""The default of spec.runner.checkpointInterval."""
UNDER_WAY = 10
"""The step from which a run is stopped."""


@dataclass(frozen=True)
class Run:
    """One attempt of one job."""

    server: S3Server
    folder: Path
    name: str
    backbone: str
    steps: int
    interval: str

    @property
    def job(self) -> JobReference:
        """As the operator hands it to the pod."""
        spec = {
            "project": "bench",
            "dataset": {"train": {"endpoint": self.server.endpoint, "bucket": "data"}},
            "model": {
                "backbone": {"name": self.backbone},
                "heads": [{"name": "digit", "task": "MulticlassClassification"}],
            },
            "training": {
                "maxSteps": self.steps,
                "validations": 1,
                "batchSize": 8,
                "inputSize": {"width": 64, "height": 64},
            },
            "runner": {"gpus": 0, "checkpointInterval": self.interval},
        }
        return JobReference.model_validate(
            {"namespace": "bench", "name": self.name, "uid": f"{self.name}-01234567", "spec": spec}
        )

    @property
    def store(self) -> S3Store:
        """Where the record lies."""
        return S3Store(S3Settings(self.server.endpoint, "data", *self.server.admin, prefix="runs"))

    @property
    def paths(self) -> RecordPaths:
        """The record's."""
        return RecordPaths(self.store.prefix, "bench", "bench", self.name, self.job.uid)

    def lines(self) -> list[MetricLine]:
        """What the record has of the training."""
        return settled(lambda: list(metric_lines(self.store, self.paths, 1)))

    def output(self) -> str:
        """What the container printed."""
        return (self.folder / self.name / "output").read_text()

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[bytes]]:
        """The container's process."""
        scratch = self.folder / self.name
        scratch.mkdir()
        environ = {
            **os.environ,
            Env.JOB: self.job.model_dump_json(by_alias=True, exclude_none=True),
            Env.ATTEMPT: "1",
            PATH_VARIABLE: str(scratch / "termination"),
            "SIHL_STORE_ENDPOINT": self.server.endpoint,
            "SIHL_STORE_BUCKET": "data",
            "SIHL_STORE_PREFIX": "runs",
            "SIHL_STORE_ACCESS_KEY_ID": self.server.admin[0],
            "SIHL_STORE_SECRET_ACCESS_KEY": self.server.admin[1],
        }
        command = [sys.executable, "-m", "tests.bench.checkpoint", "--as-trainer",
                   str(self.folder / "digits"), str(scratch), str(free_ports(1)[0])]  # fmt: skip
        with (scratch / "output").open("wb") as output:
            process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def stop(run: Run) -> dict[str, Any]:
    """From SIGTERM in the middle of the training to a checkpoint that stands, and to the end."""

    def trains() -> bool:
        assert process.poll() is None, run.output()
        return any(line.step >= UNDER_WAY for line in run.lines())

    with run.started() as process:
        eventually(trains, 300, 0.2)
        began = time.perf_counter()
        process.terminate()
        prefix = eventually(lambda: next(standing_checkpoints(run.store, run.paths), None), 120)[0]
        durable = time.perf_counter() - began
        process.wait(120)
        over = time.perf_counter() - began
    size = sum(each.bytes for each in run.store.objects(prefix))
    return {
        f"{run.backbone}: checkpoint, MB": size / 1e6,
        f"{run.backbone}: SIGTERM to durable checkpoint, s": durable,
        f"{run.backbone}: SIGTERM to the process's end, s": over,
    }


def trained(run: Run) -> tuple[float, int]:
    """Seconds of a whole run, and how many checkpoints it uploaded."""
    began = time.perf_counter()
    with run.started() as process:
        assert process.wait(900) == 0, run.output()
    return time.perf_counter() - began, run.output().count("The checkpoint of step")


def periodic(server: S3Server, folder: Path, backbone: str, rounds: int) -> dict[str, Any]:
    """The same job with frequent checkpoints and without, in turn."""
    spent: dict[str, list[float]] = {OFTEN: [], NEVER: []}
    written = 0
    for number in range(rounds):
        for interval, walls in spent.items():
            name = f"{backbone}-{interval}-{number}"
            wall, count = trained(Run(server, folder, name, backbone, STEPS[backbone], interval))
            walls.append(wall)
            written += count if interval == OFTEN else 0
            print(f"{name}: {wall:.1f} s, {count} checkpoints", file=sys.stderr, flush=True)
    lost = (sum(spent[OFTEN]) - sum(spent[NEVER])) / written
    return {
        f"{backbone}: training time lost to a checkpoint, s": lost,
        f"{backbone}: lost at one in 10 min, %": 100 * lost / TEN_MINUTES,
    }


def main() -> int:
    """Print figures, and write them as JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.checkpoint", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--as-trainer", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.as_trainer:
        train(*given.as_trainer)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="sihl-") as place:
        folder = Path(place)
        digits.make("classification", folder / "digits", count=400, held_out=40)
        with serve(folder / "store") as server:
            server.make_bucket("data")
            for backbone in BACKBONES:
                figures |= stop(Run(server, folder, f"{backbone}-stop", backbone, 100_000, NEVER))
                figures |= periodic(server, folder, backbone, given.rounds)
    tell(figures, given.json)
    return 0


def train(dataset: str, scratch: str, port: str) -> NoReturn:
    """The container's process with folders of its own."""
    from sihl_trainer.signals import StopSignals, leave

    signals = StopSignals()
    from sihl_trainer.train import train_main

    leave(train_main(os.environ, signals, Path(dataset), Path(scratch), int(port)))


if __name__ == "__main__":
    sys.exit(main())
