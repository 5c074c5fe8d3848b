"""Pictures on their way from a worker process to the record: what they cost, and what not."""

from __future__ import annotations

import json
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest

from sihl_api.record import RecordPaths, picture_file
from sihl_api.runtime import ExitCode, JobReference, Result
from sihl_trainer.errors import BadConfig
from sihl_trainer.record.models import complete_model
from sihl_trainer.record.store import FolderStore
from sihl_trainer.supervisor import run as supervisor_run
from sihl_trainer.supervisor.run import Settings, Supervisor
from tests.support.datasets import job
from tests.support.pod import ROOT, Pod
from tests.support.s3 import S3Server
from tests.support.waiting import eventually
from tests.support.worker import PICTURED, VARIABLE, picture

REFERENCE = JobReference(
    namespace="team-a", name="night", uid="0123456789", spec=job(runner={"stopGracePeriod": "1h"})
)
PATHS = RecordPaths("", "team-a", REFERENCE.spec.project, "night", "0123456789")


def test_pictures_of_images_of_any_name_are_in_the_record_those_of_the_end_too(
    s3: S3Server, folder: Path
) -> None:
    pod = Pod(folder, s3, f"job-{uuid.uuid4().hex[:8]}")
    with pod.start(steps=20, validate_every=10, pictures=True, draws_late=True) as attempt:
        code, _ = attempt.end()
    assert code is ExitCode.SUCCEEDED, attempt.output
    for step in (10, 20):
        place = f"{pod.paths.pictures(1, step)}boxes/"
        names = {item.key.removeprefix(place) for item in pod.store.objects(place)}
        assert names == {picture_file(image) for image in PICTURED}, attempt.output
        for image in PICTURED:
            assert pod.store.get(place + picture_file(image)) == picture(image, step)
    assert list(attempt.scratch.glob("pictures-*")) == []


def supervised(folder: Path, store: FolderStore, **behaviour: Any) -> Supervisor:
    """A supervisor within this process; its worker is a process."""
    environ = {
        VARIABLE: json.dumps({"pictures": True, **behaviour}),
        "PYTHONPATH": ":".join(str(ROOT / name) for name in ("crds", "trainer_image", "")),
    }
    command = (sys.executable, "-m", "tests.support.worker")
    settings = Settings(
        REFERENCE, 1, folder / "dataset", folder / "scratch", environ=environ, command=command
    )
    return Supervisor(settings, store)


class NoPictures(FolderStore):
    """A store that refuses pictures, and takes all else."""

    def put(self, key: str, data: bytes) -> None:
        if "/pictures/" in key:
            raise BadConfig("StoreAccessRefused", "the quota is used up")
        super().put(key, data)


def test_a_store_that_takes_no_pictures_costs_the_run_nothing_else(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = NoPictures(folder / "store")
    code, result = supervised(folder, store, steps=40, validate_every=10).run()
    assert code is ExitCode.SUCCEEDED
    assert (result.step, result.metrics) == (40, {"boxes/map": "1"})
    assert complete_model(store, PATHS) is not None
    keys = [item.key for item in store.objects(PATHS.attempt(1))]
    assert not [key for key in keys if "/pictures/" in key]
    assert caplog.text.count("are not in the record: the quota is used up") == 1
    assert list((folder / "scratch").glob("pictures-*")) == []


class Stuck(FolderStore):
    """A store that takes no picture until it is released."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked, self.released = threading.Event(), threading.Event()

    def put(self, key: str, data: bytes) -> None:
        if "/pictures/" in key:
            self.asked.set()
            self.released.wait()
        super().put(key, data)


def test_a_stop_waits_for_no_pictures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_run, "CLOSING_SECONDS", 3600.0)
    store, ends = Stuck(folder / "store"), list[tuple[ExitCode, Result]]()
    supervisor = supervised(folder, store, steps=100_000, step_seconds=0.01, validate_every=5)
    threading.Thread(target=lambda: ends.append(supervisor.run()), daemon=True).start()
    assert store.asked.wait(60)
    supervisor.request_stop()
    eventually(lambda: ends)  # and not after an hour
    store.released.set()
    code, result = ends[0]
    assert code is ExitCode.STOPPED
    assert result.checkpoint is not None
    assert result.checkpoint.step == result.step
    assert store.get(PATHS.result(1)) == result.encode()


def test_checkpoints_are_not_held_up_by_pictures(folder: Path) -> None:
    store, ends = Stuck(folder / "store"), list[tuple[ExitCode, Result]]()
    supervisor = supervised(folder, store, steps=100_000, step_seconds=0.01, validate_every=5)
    threading.Thread(target=lambda: ends.append(supervisor.run()), daemon=True).start()
    assert store.asked.wait(60)
    saved = supervisor.status.report().checkpoint
    before = saved.step if saved else 0

    def newer() -> bool:
        checkpoint = supervisor.status.report().checkpoint
        return checkpoint is not None and checkpoint.step > before + 5

    eventually(newer)
    supervisor.request_stop(at_once=True)
    eventually(lambda: ends)
    store.released.set()
