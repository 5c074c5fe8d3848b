"""The supervisor as a process, with a worker process, against a real S3 server."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from sihl_api.record import JobRecord, Manifest, Point
from sihl_api.runtime import Env, ExitCode, RecordReport, read_result
from sihl_trainer.record.checkpoints import standing_checkpoints
from sihl_trainer.supervisor.stop import SOCKET_NAME, request_stop
from tests.support.disk import crowd, fill, small_disk
from tests.support.pod import ROOT, Attempt, Pod
from tests.support.proxy import Faults, proxied
from tests.support.s3 import S3Server
from tests.support.secretfiles import mount
from tests.support.waiting import eventually

slow = pytest.mark.slow
LONG: dict[str, Any] = {"steps": 100_000, "step_seconds": 0.01}


@pytest.fixture
def pod(s3: S3Server, folder: Path) -> Pod:
    return Pod(folder, s3, f"job-{uuid.uuid4().hex[:8]}")


def standing(pod: Pod) -> list[int]:
    return [status.step for _, status in standing_checkpoints(pod.store, pod.paths)]


@pytest.fixture(scope="module")
def uninterrupted(s3: S3Server) -> str:
    """The weights of a run of forty steps that nothing disturbed."""
    with tempfile.TemporaryDirectory(prefix="sihl-") as place:
        pod = Pod(Path(place), s3, f"job-{uuid.uuid4().hex[:8]}")
        assert pod.run(steps=40)[0] is ExitCode.SUCCEEDED
        return pod.model()


# --- a run to its end ------------------------------------------------------------------------


def test_a_run_leaves_its_whole_record_and_its_result(pod: Pod) -> None:
    with pod.start(steps=20, prints="hello from the worker") as attempt:
        code, result = attempt.end()
    assert code is ExitCode.SUCCEEDED, attempt.output
    assert result.step == 20
    assert result.metrics == {"boxes/map": "1"}
    assert result.model is not None
    assert result.model.uri == f"s3://data/{pod.paths.model.rstrip('/')}"
    manifest = Manifest.model_validate_json(pod.store.get(f"{pod.paths.model}manifest.json"))
    assert result.model.checksum == manifest.files["model.safetensors"].sha256
    assert read_result(pod.store.get(pod.paths.result(1)).decode()) == result
    record = JobRecord.model_validate_json(pod.store.get(pod.paths.job_json))
    assert (record.name, record.image) == (pod.name, "trainer:test")
    (told,) = pod.summary().attempts
    assert (told.first_step, told.last_step, told.reason) == (1, 20, "Succeeded")
    assert pod.summary().validation["boxes/map"].best == Point(step=20, value=1.0)
    assert [line.step for line in pod.lines(1) if line.kind == "train"] == list(range(1, 21))
    assert pod.log(1).count("hello from the worker") == 2  # standard output and standard error
    assert attempt.output.count("hello from the worker") == 2  # for kubectl logs
    assert attempt.workers() == []


@slow
def test_the_outside_sees_how_far_a_run_is(pod: Pod) -> None:
    with pod.start(**LONG, checkpoint_every=10) as attempt:
        report = attempt.until("Training", step=20, checkpoint=10)
        metrics = attempt.metrics()
    assert report.progress.images_per_second == 64
    assert report.progress.remaining
    assert report.metrics.keys() == {"boxes/map"}
    for name in (
        "sihl_training_step ", "sihl_training_max_steps ", "sihl_training_images_per_second 64.0",
        'sihl_training_loss{head="boxes",loss="box"}', "sihl_training_learning_rate 0.01",
        'sihl_training_metric{head="boxes",metric="map"}', "sihl_checkpoint_step ",
        "sihl_checkpoint_timestamp_seconds ", "sihl_checkpoint_bytes ",
        "sihl_checkpoint_upload_seconds ", "sihl_checkpoint_interval_seconds 600.0",
        "sihl_training_unsaved_seconds ",
        f'sihl_job_info{{attempt="1",namespace="team-a",project="cells",training_job="{pod.name}"}}',
    ):  # fmt: skip
        assert name in metrics


def test_the_console_has_json_where_that_is_asked_for_and_the_record_has_text(pod: Pod) -> None:
    pod = replace(pod, changes={Env.LOG_FORMAT: "json"})
    with pod.start(steps=20, prints="hello from the worker") as attempt:
        code, _ = attempt.end()
    assert code is ExitCode.SUCCEEDED, attempt.output
    lines = [json.loads(line) for line in attempt.output.splitlines()]
    job = {"namespace": "team-a", "name": pod.name, "uid": pod.uid, "attempt": 1}
    assert all(line["job"] == job for line in lines)
    said = {line["message"]: line["logger"] for line in lines}
    assert said["hello from the worker"] == "worker"
    saved = next(message for message in said if message.startswith("The model of step 20"))
    assert said[saved] == "sihl_trainer.supervisor.uploads"
    text = pod.log(1)
    assert "hello from the worker\n" in text
    assert re.search(rf"^\S+Z INFO {re.escape(saved)}$", text, re.MULTILINE)
    assert '"message"' not in text


# --- stop ------------------------------------------------------------------------------------


@slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_leaves_a_checkpoint_from_which_the_run_ends_as_if_undisturbed(
    pod: Pod, uninterrupted: str, number: signal.Signals
) -> None:
    with pod.start(1, steps=40, step_seconds=0.05) as attempt:
        attempt.until("Training", step=3)
        attempt.stop(number)
        code, result = attempt.end()
    assert code is ExitCode.STOPPED, attempt.output
    assert result.checkpoint is not None
    assert result.checkpoint.step == result.step
    assert result.step is not None
    assert 3 <= result.step < 40
    stopped_at = result.step
    code, result = pod.run(2, steps=40)
    assert code is ExitCode.SUCCEEDED
    assert pod.model() == uninterrupted
    assert "Resuming from step" in pod.log(2)
    first, second = pod.summary().attempts
    assert (first.reason, second.reason) == ("Stopped", "Succeeded")
    assert first.stopping_at
    assert second.resumed_at_step == stopped_at


def test_the_stop_command_returns_when_the_checkpoint_is_durable(pod: Pod) -> None:
    with pod.start(**LONG) as attempt:
        attempt.until("Training", step=1)
        answer = request_stop(attempt.scratch / SOCKET_NAME, 60)
        assert "the checkpoint is s3://data/" in answer
        step = standing(pod)[0]
        assert attempt.end()[0] is ExitCode.STOPPED
    assert answer.endswith(f"/{step:09d}")


@slow
def test_stop_command_and_signal_may_both_come_and_more_than_once(pod: Pod) -> None:
    with pod.start(**LONG) as attempt:
        attempt.until("Training", step=1)
        attempt.stop()
        request_stop(attempt.scratch / SOCKET_NAME, 60)
        attempt.stop()
        code, result = attempt.end()
    assert code is ExitCode.STOPPED
    assert result.checkpoint is not None
    assert result.checkpoint.step == result.step


def test_the_stop_command_where_nothing_runs_says_so(tmp_path: Path) -> None:
    assert request_stop(tmp_path / SOCKET_NAME, 0.1) == "no trainer is running here"


@slow
def test_a_stop_while_the_worker_loads_ends_at_once_without_checkpoint(pod: Pod) -> None:
    with pod.start(hang_before_training=True) as attempt:
        eventually(lambda: attempt.workers())
        attempt.stop()
        code, result = attempt.end()
    assert code is ExitCode.STOPPED_WITHOUT_CHECKPOINT
    assert (result.reason, result.checkpoint) == ("StoppedBeforeFirstStep", None)
    assert attempt.workers() == []


@slow
def test_a_stop_while_a_resumed_worker_loads_keeps_the_checkpoint_that_stands(pod: Pod) -> None:
    pod.run(1, steps=20, checkpoint_every=5, die_at=12)
    with pod.start(2, hang_before_training=True) as attempt:
        eventually(lambda: attempt.workers())
        attempt.stop()
        code, result = attempt.end()
    assert code is ExitCode.STOPPED
    assert result.checkpoint is not None
    assert result.checkpoint.step == 10


@slow
def test_a_stop_before_anything_was_imported_is_not_lost(pod: Pod) -> None:
    with pod.start(**LONG) as attempt:
        handled = f"/proc/{attempt.process.pid}/status"
        eventually(lambda: catches_sigterm(Path(handled)), pause=0.001)
        attempt.stop()
        code, result = attempt.end()
    assert code is ExitCode.STOPPED_WITHOUT_CHECKPOINT
    assert result.reason == "StoppedBeforeFirstStep"


def catches_sigterm(status: Path) -> bool:
    line = next(x for x in status.read_text().splitlines() if x.startswith("SigCgt"))
    return bool(int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


@slow
def test_a_worker_that_does_not_answer_is_killed_and_the_earlier_checkpoint_stands(
    pod: Pod,
) -> None:
    pod.grace = "4s"
    with pod.start(**LONG, checkpoint_every=50, deaf=True) as attempt:
        attempt.until("Training", checkpoint=50)
        attempt.stop()
        code, result = attempt.end()
    assert code is ExitCode.STOPPED_WITHOUT_CHECKPOINT
    assert result.reason == "CheckpointTimedOut"
    assert result.checkpoint is not None
    assert result.checkpoint.step == standing(pod)[0] >= 50
    assert attempt.workers() == []


@pytest.fixture
def faults(pod: Pod) -> Iterator[Faults]:
    """The way from the pod to the store, which can be made to fail."""
    with proxied(pod.s3.endpoint) as way:
        pod.endpoint = way.endpoint
        yield way


@slow
def test_a_stop_during_an_upload_waits_for_it_and_for_the_last_one(
    pod: Pod, faults: Faults
) -> None:
    with pod.start(steps=100_000, step_seconds=0.01, checkpoint_every=30, megabytes=2) as attempt:
        attempt.until("Training", step=10)
        faults.upload_rate = 4e6
        attempt.until("Training", step=31)  # the checkpoint of step 30 is on its way
        attempt.stop()
        code, result = attempt.end()
    assert code is ExitCode.STOPPED, attempt.output
    assert result.checkpoint is not None
    assert result.checkpoint.step == result.step == standing(pod)[0]


@slow
def test_an_upload_that_outlasts_the_grace_period_ends_with_what_stands(
    pod: Pod, faults: Faults
) -> None:
    pod.grace = "4s"
    with pod.start(**LONG, checkpoint_every=30, megabytes=4) as attempt:
        attempt.until("Training", checkpoint=30)
        faults.upload_rate = 1e5
        attempt.stop()
        code, result = attempt.end()
    assert code is ExitCode.STOPPED_WITHOUT_CHECKPOINT, attempt.output
    assert result.reason == "CheckpointTimedOut"
    assert result.checkpoint is not None
    assert result.checkpoint.step == standing(pod)[0]
    assert result.step is not None
    assert result.step >= result.checkpoint.step


# --- the end of the worker -------------------------------------------------------------------


@slow
def test_a_killed_worker_is_a_crash_and_the_next_attempt_goes_on_from_its_checkpoint(
    pod: Pod, uninterrupted: str
) -> None:
    with pod.start(1, steps=40, die_at=13, leaves_a_child=True) as attempt:
        code, result = attempt.end()
    assert (code, result.reason) == (ExitCode.CRASHED, "WorkerCrashed")
    assert "SIGKILL" in result.message
    assert result.checkpoint is not None
    assert result.checkpoint.step == 10
    assert attempt.workers() == []  # the child that it left, in a session of its own, is gone
    assert pod.run(2, steps=40)[0] is ExitCode.SUCCEEDED
    assert pod.model() == uninterrupted


@slow
def test_a_crash_is_told_with_the_workers_last_words(pod: Pod) -> None:
    code, result = pod.run(steps=40, exit_at=3)
    assert code is ExitCode.CRASHED
    assert "exit code 1" in result.message
    assert "RuntimeError: the loss is not a number" in result.message


@slow
def test_what_the_worker_explains_is_the_result(pod: Pod) -> None:
    code, result = pod.run(steps=40, fail_at=3)
    assert (code, result.reason, result.message) == (ExitCode.BAD_DATA, "BadImage", "000.jpg")


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """A cgroup that may use 400 MiB, of either version."""
    name = f"sihl-test-{os.getpid()}"
    faults = []
    for root, limit in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        group = root / name
        try:
            group.mkdir()
            (group / limit).write_text(str(400 << 20))
        except OSError as error:
            faults.append(str(error))
            continue
        yield group
        eventually(lambda group=group: not (group / "cgroup.procs").read_text())  # type: ignore[misc]
        group.rmdir()
        return
    pytest.skip(f"this machine lets us make no cgroup with a memory limit: {faults}")


@slow
def test_a_worker_that_takes_more_memory_than_it_may_is_told_what_to_change(
    pod: Pod, small_memory: Path
) -> None:
    with pod.start(steps=40, step_seconds=0.05, eat_memory_at=30) as attempt:
        (small_memory / "cgroup.procs").write_text(str(attempt.process.pid))
        code, result = attempt.end()
    assert (code, result.reason) == (ExitCode.OUT_OF_MEMORY, "OutOfMemory"), attempt.output
    assert "spec.runner.resources.limits.memory" in result.message
    assert result.checkpoint is not None


@slow
def test_a_worker_that_is_ended_though_its_container_has_no_limit_is_said_to_be_the_nodes(
    pod: Pod, small_memory: Path
) -> None:
    container = small_memory / "container"
    with contextlib.suppress(OSError):
        (small_memory / "cgroup.subtree_control").write_text("+memory")  # version 2 alone has it
    container.mkdir()
    try:
        with pod.start(steps=40, step_seconds=0.05, eat_memory_at=30) as attempt:
            (container / "cgroup.procs").write_text(str(attempt.process.pid))
            code, result = attempt.end()
        assert (code, result.reason) == (ExitCode.CRASHED, "NodeOutOfMemory"), attempt.output
        assert result.checkpoint is not None
        eventually(lambda: not (container / "cgroup.procs").read_text())
    finally:
        container.rmdir()


# --- resume ----------------------------------------------------------------------------------


@slow
def test_a_job_that_an_earlier_attempt_completed_succeeds_without_a_worker(pod: Pod) -> None:
    _, first = pod.run(1, steps=20)
    code, second = pod.run(2, fail_at=1)  # a worker would fail
    assert code is ExitCode.SUCCEEDED
    assert (second.model, second.step, second.metrics) == (first.model, 20, first.metrics)


@slow
def test_an_attempt_that_comes_back_late_leaves_the_model_of_the_one_that_succeeded(
    pod: Pod, faults: Faults
) -> None:
    with pod.start(1, steps=30, step_seconds=0.05) as lost:
        lost.until("Training", step=3)
        faults.down = True  # its node is lost, and another attempt takes its place
        pod.endpoint = ""
        assert pod.run(2, steps=20)[0] is ExitCode.SUCCEEDED
        model = pod.model()
        faults.down = False
        code, result = lost.end()
    assert code is ExitCode.SUCCEEDED, lost.output
    assert pod.model() == model
    assert result.model is not None
    manifest = Manifest.model_validate_json(pod.store.get(f"{pod.paths.model}manifest.json"))
    assert result.model.checksum == manifest.files["model.safetensors"].sha256


@slow
def test_a_torn_checkpoint_is_skipped_for_the_one_before(pod: Pod, uninterrupted: str) -> None:
    pod.run(1, steps=40, die_at=13)
    assert standing(pod) == [10, 5]
    pod.store.put(f"{pod.paths.checkpoint(1, 10)}state.json", b'{"step": 10, "state": "torn!"}')
    code, _ = pod.run(2, steps=40)
    assert code is ExitCode.SUCCEEDED
    assert "Resuming from step 5:" in pod.log(2)
    assert pod.model() == uninterrupted


@slow
def test_a_job_starts_from_the_model_of_an_earlier_one(pod: Pod) -> None:
    pod.run(1, steps=20)
    start = {"from": "Job", "job": pod.name}
    second = Pod(pod.folder / "second", pod.s3, pod.name, initialization=start, uid="f" * 16)
    second.folder.mkdir()
    assert second.run(1, steps=20)[0] is ExitCode.SUCCEEDED
    assert second.model() != pod.model()  # it went on from there


@slow
def test_a_job_that_starts_from_nothing_that_exists_is_a_bad_config(pod: Pod) -> None:
    pod.initialization = {"from": "Job", "job": "nobody"}
    code, result = pod.run(1)
    assert (code, result.reason) == (ExitCode.BAD_CONFIG, "InitialModelMissing")


# --- the store -------------------------------------------------------------------------------


@slow
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"SIHL_STORE_BUCKET": "no-such-bucket"}, "StoreBucketMissing"),
        ({"SIHL_STORE_SECRET_ACCESS_KEY": "wrong"}, "StoreAccessRefused"),
        ({"SIHL_STORE_ENDPOINT": "here"}, "StoreEndpointInvalid"),
        ({"SIHL_STORE_ACCESS_KEY_ID": ""}, "StoreSecretIncomplete"),
    ],
)
def test_a_store_that_its_secret_does_not_open_is_told_before_anything_is_trained(
    pod: Pod, changes: dict[str, str], reason: str
) -> None:
    pod.changes = changes
    with pod.start() as attempt:
        code, result = attempt.end()
    assert (code, result.reason) == (ExitCode.REFUSED, reason)
    assert "sihl-store" in result.message


@slow
@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"SIHL_JOB": "{}"}, "JobUnreadable"), ({"SIHL_ATTEMPT": "x"}, "AttemptUnreadable")],
)
def test_a_wrong_environment_is_told_before_anything_is_trained(
    pod: Pod, changes: dict[str, str], reason: str
) -> None:
    pod.changes = changes
    with pod.start() as attempt:
        code, result = attempt.end()
    assert (code, result.reason) == (ExitCode.BAD_CONFIG, reason)


@dataclass
class Rotated:
    """A job whose store's keys are rotated while it runs."""

    pod: Pod
    number: int = 0

    @property
    def keys(self) -> tuple[str, str]:
        return f"{self.pod.name}-{self.number}", f"hidden-{self.number}"

    def mount(self) -> None:
        """The Secret says what the store lets in."""
        mount(
            self.pod.folder / "keys",
            endpoint=self.pod.s3.endpoint,
            bucket="data",
            prefix=self.pod.store.prefix,
            accessKeyId=self.keys[0],
            secretAccessKey=self.keys[1],
        )

    def rotate(self) -> None:
        """The store lets in other keys only, which the Secret does not have yet."""
        self.number += 1
        self.admit("Read:data", "Write:data", "List:data")

    def admit(self, *actions: str) -> None:
        self.pod.s3.admit(self.pod.name, self.keys, *actions)


@pytest.fixture
def rotated(pod: Pod) -> Rotated:
    found = Rotated(pod)
    found.rotate()
    found.mount()
    pod.changes = {Env.STORE_FILES: str(pod.folder / "keys")}
    return found


def record(attempt: Attempt, writable: bool) -> RecordReport | None:
    """What the pod says of its record, once it is that."""
    report = attempt.progress()
    found = report.record if report else None
    return found if found and found.writable is writable else None


@slow
def test_a_record_that_cannot_be_written_is_told_until_rotated_keys_have_arrived(
    rotated: Rotated,
) -> None:
    with rotated.pod.start(**LONG, checkpoint_every=30) as attempt:
        attempt.until("Training", checkpoint=30)
        assert eventually(lambda: record(attempt, writable=True))
        rotated.rotate()
        told = eventually(lambda: record(attempt, writable=False))
        assert told.reason == "StoreAccessRefused"
        assert "correct the Secret's keys" in told.message
        assert "sihl_record_writable 0.0" in attempt.metrics()
        rotated.mount()
        assert eventually(lambda: record(attempt, writable=True))
        attempt.stop()
        code, result = attempt.end()
    assert code is ExitCode.STOPPED, attempt.output
    assert result.checkpoint is not None
    assert result.checkpoint.step == result.step == standing(rotated.pod)[0]


@slow
def test_a_stop_waits_through_its_grace_for_keys_that_let_it_save(rotated: Rotated) -> None:
    with rotated.pod.start(**LONG) as attempt:
        attempt.until("Training", step=10)
        rotated.rotate()
        attempt.stop()
        eventually(lambda: "An upload failed" in attempt.output)
        rotated.mount()
        code, result = attempt.end()
    assert code is ExitCode.STOPPED, attempt.output
    assert result.checkpoint is not None
    assert result.checkpoint.step == result.step == standing(rotated.pod)[0]


@slow
def test_a_stop_that_may_not_write_says_what_is_lost_and_why(rotated: Rotated) -> None:
    rotated.pod.grace = "4s"
    with rotated.pod.start(**LONG, checkpoint_every=100_000) as attempt:
        attempt.until("Training", step=10)
        rotated.admit("Read:data", "List:data")
        attempt.stop()
        code, result = attempt.end()
    assert (code, result.reason) == (ExitCode.STOPPED_WITHOUT_CHECKPOINT, "RecordNotWritable")
    assert f"What was learnt in steps 1 to {result.step} is lost." in result.message
    assert "grant them read, write, list and delete" in result.message
    assert "stopGracePeriod" not in result.message


@slow
def test_training_goes_on_while_the_store_is_away(
    pod: Pod, faults: Faults, uninterrupted: str
) -> None:
    with pod.start(1, steps=40, step_seconds=0.05) as attempt:
        attempt.until("Training", step=3)
        faults.down = True
        attempt.until("Training", step=30)
        faults.down = False
        code, _ = attempt.end()
    assert code is ExitCode.SUCCEEDED, attempt.output
    assert pod.model() == uninterrupted
    assert [line.step for line in pod.lines(1) if line.kind == "train"] == list(range(1, 41))


@slow
def test_a_long_run_keeps_its_newest_two_checkpoints(pod: Pod) -> None:
    with pod.start(1, steps=100_000, step_seconds=0.01) as attempt:
        attempt.until("Training", checkpoint=20)
        attempt.stop()
        code, result = attempt.end()
    assert code is ExitCode.STOPPED, attempt.output
    assert result.step is not None
    assert pod.run(2, steps=result.step + 40, step_seconds=0.05)[0] is ExitCode.SUCCEEDED
    left = pod.store.objects(pod.paths.attempts)
    whole = [o for o in left if o.key.endswith("manifest.json")]
    assert 2 <= len(whole) <= 3, whole  # the process may end while the last removal is under way
    assert standing(pod)[0] > result.step


@slow
def test_a_store_that_refuses_to_delete_is_told_once_and_costs_nothing_else(
    pod: Pod, faults: Faults, uninterrupted: str
) -> None:
    faults.misled = (b"DELETE /data/records-", b"DELETE /data/Records-")
    code, _ = pod.run(1, steps=40, step_seconds=0.05)
    assert code is ExitCode.SUCCEEDED
    assert pod.model() == uninterrupted
    assert pod.log(1).count("Superseded checkpoints stay in the store") == 1
    assert "list and delete below" in pod.log(1)
    assert len(standing(pod)) > 2


@slow
def test_no_secret_is_printed_recorded_or_given_to_the_worker(pod: Pod) -> None:
    secret = pod.s3.admin[1]
    with pod.start(steps=20, prints=f"the key is {secret}.", exit_at=15) as attempt:
        eventually(lambda: attempt.workers())
        worker = attempt.workers()[0]
        assert secret.encode() not in Path(f"/proc/{worker}/environ").read_bytes().replace(
            f"the key is {secret}.".encode(), b""
        )
        _, result = attempt.end()
    assert "the key is [redacted]." in attempt.output
    assert secret not in attempt.output
    assert secret not in result.model_dump_json()
    for item in pod.store.objects(pod.paths.root):
        assert secret.encode() not in pod.store.get(item.key), item.key


# --- the disk --------------------------------------------------------------------------------


@pytest.fixture
def small_pod(s3: S3Server) -> Iterator[Pod]:
    """A pod all of whose files, its termination log among them, lie on a disk of 16 MiB."""
    with small_disk(megabytes=16) as disk:
        yield Pod(disk, s3, f"job-{uuid.uuid4().hex[:8]}")


@slow
def test_a_disk_that_is_full_while_nothing_needs_it_costs_neither_the_run_nor_its_record(
    small_pod: Pod,
) -> None:
    with small_pod.start(steps=400, step_seconds=0.03, checkpoint_every=1000) as attempt:
        attempt.until("Training", step=3)
        fill(small_pod.folder / "filler")
        attempt.until("Training", step=150)
        (small_pod.folder / "filler").unlink()
        code, _ = attempt.end()
    assert code is ExitCode.SUCCEEDED, attempt.output
    assert [line.step for line in small_pod.lines(1) if line.kind == "train"] == [*range(1, 401)]


@slow
def test_an_attempt_whose_disk_is_full_says_so_and_the_next_goes_on_from_its_checkpoint(
    small_pod: Pod, uninterrupted: str
) -> None:
    with small_pod.start(1, steps=40, step_seconds=0.1) as attempt:
        attempt.until("Training", checkpoint=5)
        filler = small_pod.folder / "filler"
        eventually(lambda: crowd(filler, attempt.scratch) or attempt.process.poll() is not None)
        code, result = attempt.end()
    assert code is ExitCode.CRASHED
    assert "No space left on device" in result.message
    assert result.checkpoint is not None
    assert result.checkpoint.step == standing(small_pod)[0] >= 5
    assert "No space left on device" in small_pod.log(1)
    filler.unlink()
    assert small_pod.run(2, steps=40)[0] is ExitCode.SUCCEEDED
    assert small_pod.model() == uninterrupted


@slow
def test_a_checkpoint_for_which_the_disk_has_no_room_at_the_start_is_said_to_lack_it(
    small_pod: Pod,
) -> None:
    small_pod.run(1, steps=40, megabytes=2, die_at=13)
    filler = small_pod.folder / "filler"
    fill(filler)
    os.truncate(filler, filler.stat().st_size - (2 << 20))
    with small_pod.start(2, megabytes=2) as attempt:
        code, result = attempt.end()
    assert (code, result.reason) == (ExitCode.CRASHED, "DiskFull"), attempt.output
    assert "No space left on device" in result.message
    assert "runner.nodeSelector" in result.message
    assert standing(small_pod) == [10, 5]


# --- PID 1 -----------------------------------------------------------------------------------


@slow
def test_as_pid_1_it_catches_sigterm_and_reaps_what_others_leave(pod: Pod) -> None:
    pod.wrapper = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL"]
    if subprocess.run([*pod.wrapper, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets us make no PID namespace")
    with pod.start(**LONG, orphans=20) as attempt:
        attempt.until("Training", step=5)
        supervisor = eventually(lambda: children(attempt.process.pid))[0]
        eventually(lambda: len(children(supervisor)) == 1)  # the worker; no zombie beside it
        os.kill(supervisor, signal.SIGTERM)
        code, result = attempt.end()
    assert code is ExitCode.STOPPED
    assert result.checkpoint is not None


def children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()]


def test_the_supervisor_imports_no_torch() -> None:
    script = (
        "import sys; import sihl_trainer.cli, sihl_trainer.train;"
        "print([name for name in ('torch', 'numpy', 'kopf') if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}/crds:{ROOT}/trainer_image"},
    )  # fmt: skip
    assert run.stdout.strip() == "[]"
