"""The trainer's main container, as a process of its own with folders of a test's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from sihl_api.record import JobSummary, MetricLine, RecordPaths, to_read
from sihl_api.runtime import Env, ExitCode, JobReference, ProgressReport, Result, read_result
from sihl_trainer.record.s3 import S3Settings, S3Store
from sihl_trainer.record.segments import listed, metric_lines, settled
from sihl_trainer.termination import PATH_VARIABLE
from tests.support.datasets import job
from tests.support.s3 import S3Server, free_ports
from tests.support.waiting import eventually
from tests.support.worker import VARIABLE

ROOT = Path(__file__).parents[2]


@dataclass
class Pod:
    """A job whose attempts run one after the other, with a record in a bucket.

    Args:
        folder: Of the test.
        s3: The store.
        name: The job's; also its record's place.
        grace: runner.stopGracePeriod.
        endpoint: Another way to the store.
        initialization: spec.model.initialization.
        changes: To the container's environment.
        wrapper: A command that starts the container's.
    """

    folder: Path
    s3: S3Server
    name: str
    grace: str = "60s"
    endpoint: str = ""
    initialization: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[str, str] = field(default_factory=dict)
    uid: str = "0123456789abcdef"
    wrapper: Sequence[str] = ()

    def __post_init__(self) -> None:
        self.store = S3Store(
            S3Settings(self.s3.endpoint, "data", *self.s3.admin, prefix=f"records-{self.name}")
        )
        self.paths = RecordPaths(self.store.prefix, "team-a", "cells", self.name, self.uid)

    @property
    def reference(self) -> JobReference:
        spec = job(runner={"stopGracePeriod": self.grace}).model_dump(by_alias=True, mode="json")
        if self.initialization:
            spec["model"]["initialization"] = dict(self.initialization)
        return JobReference.model_validate(
            {"namespace": "team-a", "name": self.name, "uid": self.uid, "spec": spec}
        )

    def environ(self, attempt: int, behaviour: Mapping[str, Any]) -> dict[str, str]:
        python_path = ":".join(str(ROOT / name) for name in ("crds", "trainer_image", ""))
        return {
            **os.environ,
            "PYTHONPATH": python_path,
            Env.JOB: self.reference.model_dump_json(by_alias=True, exclude_none=True),
            Env.ATTEMPT: str(attempt),
            Env.IMAGE: "trainer:test",
            PATH_VARIABLE: str(self.folder / f"termination-{attempt}"),
            "SIHL_STORE_ENDPOINT": self.endpoint or self.s3.endpoint,
            "SIHL_STORE_BUCKET": "data",
            "SIHL_STORE_PREFIX": self.store.prefix,
            "SIHL_STORE_ACCESS_KEY_ID": self.s3.admin[0],
            "SIHL_STORE_SECRET_ACCESS_KEY": self.s3.admin[1],
            VARIABLE: json.dumps(dict(behaviour)),
            **self.changes,
        }

    @contextmanager
    def start(self, attempt: int = 1, **behaviour: Any) -> Iterator[Attempt]:
        """Start an attempt; what is left of it at the end of the context is killed."""
        scratch = self.folder / f"scratch-{attempt}"
        scratch.mkdir()
        port = free_ports(1)[0]
        with (self.folder / f"output-{attempt}").open("wb") as output:
            process = subprocess.Popen(
                [*self.wrapper, sys.executable, "-m", "tests.support.pod", str(scratch), str(port)],
                env=self.environ(attempt, behaviour),
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        running = Attempt(self, attempt, process, scratch, port)
        try:
            yield running
        finally:
            running.clean_up()

    def run(self, attempt: int = 1, **behaviour: Any) -> tuple[ExitCode, Result]:
        """Run an attempt to its own end."""
        with self.start(attempt, **behaviour) as running:
            return running.end()

    def model(self) -> str:
        """The final model of the record."""
        return self.store.get(f"{self.paths.model}model.safetensors").decode()

    def lines(self, attempt: int) -> list[MetricLine]:
        """The attempt's metrics in the record."""
        return settled(lambda: list(metric_lines(self.store, self.paths, attempt)))

    def summary(self) -> JobSummary:
        """The job's summary in the record."""
        return JobSummary.model_validate_json(self.store.get(self.paths.summary))

    def log(self, attempt: int) -> str:
        """The attempt's log in the record."""

        def read() -> bytes:
            keys = to_read(item.key for item in listed(self.store, self.paths, attempt, "log"))
            return b"".join(map(self.store.get, keys))

        return settled(read).decode()


@dataclass
class Attempt:
    """A running attempt."""

    pod: Pod
    number: int
    process: subprocess.Popen[bytes]
    scratch: Path
    port: int

    @property
    def output(self) -> str:
        """What the container printed so far."""
        return (self.pod.folder / f"output-{self.number}").read_text()

    def progress(self) -> ProgressReport | None:
        """What GET /progress answers, or None while nobody answers."""
        text = self._page("progress")
        return ProgressReport.model_validate_json(text) if text else None

    def metrics(self) -> str:
        """What GET /metrics answers."""
        return self._page("metrics") or ""

    def _page(self, name: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{name}", timeout=5) as page:
                return str(page.read().decode())
        except OSError:
            return None

    def until(self, stage: str, step: int = 0, checkpoint: int = 0) -> ProgressReport:
        """Wait until it is that far."""

        def far_enough() -> ProgressReport | None:
            assert self.process.poll() is None, self.output
            report = self.progress()
            if report is None or report.stage != stage or (report.progress.step or 0) < step:
                return None
            saved = report.checkpoint.step if report.checkpoint else 0
            return report if saved >= checkpoint else None

        return eventually(far_enough)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self) -> tuple[ExitCode, Result]:
        """Wait for its end: the exit code and the termination message."""
        code = self.process.wait(120)
        text = (self.pod.folder / f"termination-{self.number}").read_text()
        result = read_result(text)
        assert result is not None, self.output
        return ExitCode(code), result

    def workers(self) -> list[int]:
        """Processes that the worker is or started."""
        mark = f"SIHL_CHANNEL={self.scratch}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdecimal() and mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def clean_up(self) -> None:
        """Kill what is left."""
        self.process.kill()
        self.process.wait()
        for pid in self.workers():
            os.kill(pid, signal.SIGKILL)


def main(scratch: str, port: str) -> NoReturn:
    """The container's process, with the tests' own worker."""
    from sihl_trainer.signals import StopSignals, leave

    signals = StopSignals()
    from sihl_trainer.train import train_main

    command = [sys.executable, "-m", "tests.support.worker"]
    leave(
        train_main(
            os.environ, signals, Path(scratch) / "dataset", Path(scratch), int(port), command
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
