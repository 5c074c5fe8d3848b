"""`sihl-trainer local`: one job on this machine, with a real S3 server and processes."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from sihl_api.record import JobRecord
from sihl_api.runtime import ExitCode
from sihl_trainer.errors import BadConfig
from sihl_trainer.local_dataset import local_dataset
from sihl_trainer.terminal import ProgressLine
from tests.support import datasets
from tests.support.pod import ROOT
from tests.support.proxy import proxied
from tests.support.s3 import S3Server
from tests.support.waiting import eventually
from tests.support.worker import VARIABLE

slow = pytest.mark.slow


@dataclass
class Machine:
    """A machine with a job's file, a record and a place for temporary files."""

    folder: Path
    s3: S3Server
    prefix: str
    training: dict[str, Any] = field(default_factory=dict)
    endpoint: str = ""
    dataset: Path | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    runs: int = 0

    def __post_init__(self) -> None:
        self.temporary.mkdir()
        self.s3.put(
            "data",
            {f"{self.prefix}/{key}": body for key, body in datasets.classification().items()},
        )

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def output(self) -> Path:
        return self.folder / "out"

    @property
    def record(self) -> Path:
        """The job's folder."""
        return next((self.output / "team-a" / "cells").glob("night.*"))

    def start(self, **behaviour: Any) -> subprocess.Popen[str]:
        spec = datasets.job(
            endpoint=self.endpoint or self.s3.endpoint, prefix=self.prefix, training=self.training
        )
        job = {
            "apiVersion": "sihl.ai/v1alpha1",
            "kind": "TrainingJob",
            "metadata": {"name": "night", "namespace": "team-a"},
            "spec": spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        }
        (self.folder / "job.yaml").write_text(yaml.safe_dump(job))
        given = [str(self.dataset)] if self.dataset else []
        command = [sys.executable, "-m", "tests.support.local", "job.yaml", "out", *given]
        environ = {
            **os.environ,
            "PYTHONPATH": ":".join(str(ROOT / name) for name in ("crds", "trainer_image", "")),
            "TMPDIR": str(self.temporary),
            "SIHL_DATASET_ACCESS_KEY_ID": self.s3.reader[0],
            "SIHL_DATASET_SECRET_ACCESS_KEY": self.s3.reader[1],
            VARIABLE: json.dumps(behaviour),
            **self.environ,
        }
        self.runs += 1
        with (self.folder / f"printed-{self.runs}").open("w") as printed:
            return subprocess.Popen(
                command, cwd=self.folder, env=environ, text=True,
                stdout=printed, stderr=subprocess.STDOUT,
            )  # fmt: skip

    @property
    def printed(self) -> str:
        """What the latest run printed."""
        return (self.folder / f"printed-{self.runs}").read_text()

    def run(self, **behaviour: Any) -> ExitCode:
        return ExitCode(self.start(**behaviour).wait(120))

    def checkpoints(self) -> list[Path]:
        return sorted(self.output.glob("*/*/*/attempts/*/checkpoints/*/manifest.json"))


@pytest.fixture
def machine(s3: S3Server) -> Iterator[Machine]:
    folder = Path(tempfile.mkdtemp(prefix="sihl-"))
    yield Machine(folder, s3, f"local-{uuid.uuid4().hex[:8]}")
    shutil.rmtree(folder)


@slow
def test_a_job_runs_to_its_end_and_only_its_record_is_left(machine: Machine) -> None:
    assert machine.run(steps=20) is ExitCode.SUCCEEDED, machine.printed
    model = machine.record / "model"
    assert f"Model: {model}" in machine.printed
    assert "boxes/map  1" in machine.printed
    assert (model / "model.safetensors").exists()
    for name in ("summary.json", "attempts/1/result.json", "attempts/1/metrics-*.jsonl"):
        assert list(machine.record.glob(name)), name
    told = JobRecord.model_validate_json((machine.record / "job.json").read_bytes()).dataset
    assert told is not None
    assert told.train is not None
    assert told.train.images > 0
    assert list(machine.temporary.iterdir()) == []  # dataset and scratch are gone


@slow
def test_ctrl_c_checkpoints_and_the_same_command_resumes(machine: Machine) -> None:
    process = machine.start(steps=100_000, step_seconds=0.01)
    eventually(machine.checkpoints)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == ExitCode.STOPPED
    assert "Resume with: sihl-trainer local job.yaml --output out\n" in machine.printed
    assert list(machine.temporary.iterdir()) == []
    stopped_at = int(machine.checkpoints()[-1].parent.name)
    assert machine.run(steps=stopped_at + 20) is ExitCode.SUCCEEDED
    assert (
        f"Resuming from step {stopped_at}:"
        in next(machine.record.glob("attempts/2/log-*.txt")).read_text()
    )


@slow
def test_a_second_ctrl_c_does_not_wait(machine: Machine) -> None:
    process = machine.start(steps=100_000, step_seconds=0.01, deaf=True)
    eventually(machine.checkpoints)
    process.send_signal(signal.SIGINT)
    eventually(lambda: "Stopping" in machine.printed)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == ExitCode.STOPPED_WITHOUT_CHECKPOINT  # the grace period is 5 min
    assert list(machine.temporary.iterdir()) == []


@slow
def test_a_finished_job_is_told_again_and_nothing_is_fetched(machine: Machine) -> None:
    assert machine.run(steps=20) is ExitCode.SUCCEEDED
    machine.s3.empty("data", machine.prefix)
    assert machine.run(fail_at=1) is ExitCode.SUCCEEDED
    assert "Model: " in machine.printed
    assert "boxes/map  1" in machine.printed


@slow
def test_a_job_that_has_started_cannot_change(machine: Machine) -> None:
    machine.run(steps=20, die_at=7)
    machine.training = {"batchSize": 3}
    assert machine.run(steps=20) is ExitCode.BAD_CONFIG
    assert "spec.training differs" in machine.printed
    assert "another metadata.name" in machine.printed


@slow
def test_ctrl_c_while_the_dataset_is_fetched_leaves_nothing(machine: Machine) -> None:
    with proxied(machine.s3.endpoint) as way:
        way.down = True
        machine.endpoint = way.endpoint
        process = machine.start()
        eventually(lambda: way.connections > 0)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == ExitCode.STOPPED_WITHOUT_CHECKPOINT, machine.printed
    assert "Stopped before training began." in machine.printed
    assert list(machine.temporary.iterdir()) == []


@slow
def test_a_dataset_that_is_there_already_is_used_and_left_as_it_is(machine: Machine) -> None:
    files = datasets.classification()
    datasets.write(machine.folder / "given" / "train", files)
    machine.dataset = machine.folder / "given"
    machine.s3.empty("data", machine.prefix)
    assert machine.run(steps=20) is ExitCode.SUCCEEDED, machine.printed
    left = {p for p in (machine.dataset / "train").rglob("*") if p.is_file()}
    assert len(left) == len(files)


@slow
def test_a_dataset_that_is_there_already_is_held_to_the_same_rules(machine: Machine) -> None:
    files = datasets.classification() | {"images/0.jpg": b"not an image"}
    datasets.write(machine.folder / "given" / "train", files)
    machine.dataset = machine.folder / "given"
    assert machine.run(steps=20) is ExitCode.BAD_DATA
    assert "0.jpg" in machine.printed


@slow
def test_wrong_keys_of_the_dataset_are_told(machine: Machine) -> None:
    machine.environ = {"SIHL_DATASET_SECRET_ACCESS_KEY": "wrong"}
    assert machine.run() is ExitCode.REFUSED
    assert "DatasetAccessDenied" in machine.printed


@slow
def test_the_keys_may_come_from_where_aws_tools_look_for_them(machine: Machine) -> None:
    machine.environ = {
        "SIHL_DATASET_ACCESS_KEY_ID": "",
        "AWS_ACCESS_KEY_ID": machine.s3.reader[0],
        "AWS_SECRET_ACCESS_KEY": machine.s3.reader[1],
    }
    assert machine.run(steps=20) is ExitCode.SUCCEEDED, machine.printed


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        (
            {"AWS_PROFILE": "nope"},
            "no keys for bucket data, as AWS's tools look for them (The conf",
        ),
        ({"AWS_ACCESS_KEY_ID": "half"}, "no keys for bucket data, as AWS's tools look for them"),
        ({}, "bucket data needs keys, and AWS's tools find none here: set SIHL_DATASET_ACCESS_KEY"),
    ],
    ids=["a profile that is not there", "half a key", "none"],
)
def test_keys_that_aws_tools_do_not_find_are_told_with_what_to_set(
    environ: dict[str, str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    for name, value in {**nowhere, "AWS_EC2_METADATA_DISABLED": "true", **environ}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadConfig) as caught:
        local_dataset(datasets.job(), None, tmp_path, environ, ProgressLine(io.StringIO()))
    assert told in str(caught.value)


def test_a_dataset_folder_without_its_splits_is_told_what_to_give(tmp_path: Path) -> None:
    given = datasets.write(tmp_path / "ds", datasets.classification(2))
    with pytest.raises(BadConfig, match=r"has no train/: move what it has into .*ds/train"):
        local_dataset(datasets.job(), given, tmp_path / "to", {}, ProgressLine(io.StringIO()))
    with pytest.raises(BadConfig, match=r"takes a folder with train/ and validation/"):
        local_dataset(
            datasets.job(validation_prefix="v"), tmp_path, tmp_path / "to", {},
            ProgressLine(io.StringIO()),
        )  # fmt: skip


@slow
def test_what_a_killed_run_left_is_deleted_by_the_next(machine: Machine) -> None:
    process = machine.start(steps=100_000, step_seconds=0.01)
    eventually(machine.checkpoints)
    process.kill()
    process.wait()
    assert [path.name.split("-")[2] for path in machine.temporary.iterdir()] == [str(process.pid)]
    assert machine.run(steps=20) is ExitCode.SUCCEEDED
    assert list(machine.temporary.iterdir()) == []


def test_a_mistake_in_the_file_is_told_by_its_field(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("apiVersion: sihl.ai/v1alpha1\nkind: TrainingJob\n")
    run = subprocess.run(
        [sys.executable, "-m", "sihl_trainer.cli", "local", "job.yaml"],
        cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}/crds:{ROOT}/trainer_image"},
    )  # fmt: skip
    assert run.returncode == ExitCode.BAD_CONFIG
    assert "job.yaml is not a valid TrainingJob:\n  metadata: required" in run.stderr
