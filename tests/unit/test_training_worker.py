"""The worker as the supervisor starts it: real processes, a real socket, real signals."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sihl_api.runtime import ExitCode
from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.supervisor.worker import worker_command
from sihl_trainer.training.channel import (
    CheckpointWritten,
    Done,
    Failed,
    FromWorker,
    MetricsMessage,
    ModelWritten,
    ProgressMessage,
    Stop,
    encode,
    messages,
)
from tests.support.disk import fill, small_disk
from tests.support.training import multitask, multitask_job, reference, same

pytestmark = pytest.mark.slow  # each worker imports torch anew


class Conversation:
    """A worker and what it says."""

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self.process = process
        self.connection = connection
        self.heard: list[FromWorker] = []

    def __iter__(self) -> Iterator[FromWorker]:
        with self.connection.makefile("rb") as stream:
            for message in messages(stream):
                self.heard.append(message)
                yield message

    def stop(self) -> None:
        self.connection.sendall(encode(Stop()))

    def of(self, kind: type[Any]) -> list[Any]:
        return [message for message in self.heard if isinstance(message, kind)]


@contextlib.contextmanager
def worker(
    spec: TrainingJobSpec, dataset: Path, scratch: Path, *arguments: str
) -> Iterator[Conversation]:
    scratch.mkdir(exist_ok=True)
    path = scratch / "channel"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(120)
        process = subprocess.Popen(
            [*worker_command(spec.runner.gpus), "--dataset", str(dataset),
             "--scratch", str(scratch), *arguments],
            env=os.environ
            | {
                "SIHL_CHANNEL": str(path),
                "SIHL_JOB": reference(spec),
                "SIHL_ATTEMPT": "1",
                "SIHL_ALLOW_CPU": "1",
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            start_new_session=True,
        )  # fmt: skip
        try:
            connection, _ = listener.accept()
            connection.settimeout(120)
            with connection:
                yield Conversation(process, connection)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return multitask(tmp_path_factory.mktemp("dataset"))


def whole_model(spec: TrainingJobSpec, dataset: Path, scratch: Path, *arguments: str) -> Any:
    """The weights of a worker that nobody stops."""
    with worker(spec, dataset, scratch, *arguments) as talk:
        assert isinstance(list(talk)[-1], Done)
        assert talk.process.wait(60) == ExitCode.SUCCEEDED
        assert set(talk.of(MetricsMessage)[-1].line.values) >= {"boxes/map", "pet/accuracy"}
        return load_file(Path(talk.of(ModelWritten)[0].directory) / "model.safetensors")


def stopped_checkpoint(spec: TrainingJobSpec, dataset: Path, scratch: Path) -> CheckpointWritten:
    """What a worker leaves that is stopped while it trains, and is deaf to signals."""
    with worker(spec, dataset, scratch) as talk:
        for message in talk:
            if isinstance(message, ProgressMessage) and message.stage == "Training":
                os.killpg(talk.process.pid, signal.SIGINT)
                if spec.runner.gpus <= 1:  # torchrun itself would obey
                    os.killpg(talk.process.pid, signal.SIGTERM)
            if isinstance(message, MetricsMessage):
                talk.stop()
        assert isinstance(talk.heard[-1], Done)
        assert talk.process.wait(60) == ExitCode.SUCCEEDED
        assert not talk.of(ModelWritten)
        found: CheckpointWritten = talk.of(CheckpointWritten)[-1]
        assert found.final
        return found


def test_a_worker_stopped_over_its_channel_resumes_as_the_one_that_was_not(
    dataset: Path, tmp_path: Path
) -> None:
    spec = multitask_job({"maxSteps": 30, "validations": 3})
    found = stopped_checkpoint(spec, dataset, tmp_path / "first")
    assert 0 < found.step < 30
    resumed = whole_model(spec, dataset, tmp_path / "second", "--resume", found.directory)
    assert same(resumed, whole_model(spec, dataset, tmp_path / "whole"))


def test_ranks_that_share_a_job_stop_at_one_step_and_resume_as_if_they_had_not(
    dataset: Path, tmp_path: Path
) -> None:
    spec = multitask_job({"maxSteps": 30, "validations": 3}, {"gpus": 2})
    with worker(spec, dataset, tmp_path / "first") as talk:
        for message in talk:
            if isinstance(message, MetricsMessage):
                talk.stop()
        assert talk.process.wait(60) == ExitCode.SUCCEEDED
    found = talk.of(CheckpointWritten)[-1]
    assert 0 < found.step < 30
    resumed = whole_model(spec, dataset, tmp_path / "second", "--resume", found.directory)
    assert same(resumed, whole_model(spec, dataset, tmp_path / "whole"))


def test_a_worker_whose_supervisor_is_gone_stops(dataset: Path, tmp_path: Path) -> None:
    spec = multitask_job({"maxSteps": 100_000})
    with worker(spec, dataset, tmp_path / "first") as talk:
        for message in talk:
            if isinstance(message, MetricsMessage):
                break
        talk.connection.shutdown(socket.SHUT_RDWR)
        assert talk.process.wait(60) == ExitCode.SUCCEEDED
    assert list((tmp_path / "first").glob("checkpoint-*-final/manifest.json"))


def test_a_batch_that_ranks_cannot_share_is_told_by_the_rank_that_finds_it(
    dataset: Path, tmp_path: Path
) -> None:
    spec = multitask_job({"maxSteps": 5, "batchSize": 3}, {"gpus": 2})
    with worker(spec, dataset, tmp_path / "first") as talk:
        list(talk)
        assert talk.process.wait(60) != ExitCode.SUCCEEDED
    failed = talk.of(Failed)[0]
    assert failed.exit_code is ExitCode.BAD_CONFIG
    assert "training.batchSize 3" in failed.message


def test_an_explained_end_is_told_and_is_the_exit_code(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "empty" / "train").mkdir(parents=True)
    with worker(multitask_job(), tmp_path / "empty", tmp_path / "first") as talk:
        list(talk)
        failed = talk.of(Failed)[0]
        assert talk.process.wait(60) == failed.exit_code == ExitCode.BAD_DATA
    assert "metadata" in failed.message


@pytest.mark.parametrize("what", ["checkpoint", "model"])
def test_a_disk_without_room_for_what_must_be_saved_is_told_with_what_to_do(
    dataset: Path, what: str
) -> None:
    steps = {"checkpoint": 100_000, "model": 2}[what]
    spec = multitask_job({"maxSteps": steps, "validations": 1}, {"checkpointInterval": "1s"})
    with small_disk(megabytes=1) as disk, worker(spec, dataset, disk / "scratch") as talk:
        fill(disk / "filler")
        list(talk)
        failed = talk.of(Failed)[0]
        assert talk.process.wait(60) == failed.exit_code == ExitCode.CRASHED
    assert failed.reason == "DiskFull"
    for text in (f"{disk}/scratch/{what}", "No space left on device", "runner.nodeSelector"):
        assert text in failed.message


def test_a_worker_starts_from_the_weights_of_an_earlier_model(
    dataset: Path, tmp_path: Path
) -> None:
    spec = multitask_job({"maxSteps": 2, "validations": 1})
    first = whole_model(spec, dataset, tmp_path / "first")
    nearly_still = {"maxSteps": 1, "optimizer": {"name": "SGD", "learningRate": 1e-12}}
    spec = multitask_job(nearly_still, initialization={"from": "URI", "uri": "s3://b/model"})
    second = whole_model(
        spec, dataset, tmp_path / "second", "--initial", str(tmp_path / "first" / "model")
    )
    for name in first:
        if name.endswith("weight"):
            torch.testing.assert_close(second[name], first[name], rtol=0, atol=1e-7)
