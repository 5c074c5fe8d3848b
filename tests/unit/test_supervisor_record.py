"""What becomes of a record while an attempt runs, and when it ends: merged, and summed up."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load

from sihl_api.fingerprint import SplitFingerprint
from sihl_api.record import ColumnName, JobRecord, JobSummary, RecordPaths, to_read
from sihl_api.runtime import ExitCode, JobReference, Result
from sihl_trainer.errors import Unavailable
from sihl_trainer.fetch.fetched import write_fetched
from sihl_trainer.record.segments import settled
from sihl_trainer.record.store import FolderStore
from sihl_trainer.supervisor.run import Settings, Supervisor
from tests.support.datasets import job
from tests.support.pod import ROOT
from tests.support.waiting import eventually
from tests.support.worker import VARIABLE

REFERENCE = JobReference(namespace="team-a", name="night", uid="0123456789", spec=job())
PATHS = RecordPaths("", "team-a", REFERENCE.spec.project, "night", "0123456789")
EARLIER = ["said by the first pod", "and more"]
LONG = {"steps": 100_000, "step_seconds": 0.01, "validate_every": 1000}


@pytest.fixture
def store(folder: Path) -> FolderStore:
    """With two segments of the log, of an earlier life of the attempt."""
    made = FolderStore(folder / "store")
    for number, line in enumerate(EARLIER):
        made.put(PATHS.log(1, number), f"{line}\n".encode())
    return made


def supervised(
    folder: Path, store: FolderStore, upkeep_seconds: float = 3600, **behaviour: Any
) -> Supervisor:
    """A supervisor within this process; its worker is a process."""
    environ = {
        VARIABLE: json.dumps(behaviour),
        "PYTHONPATH": ":".join(str(ROOT / name) for name in ("crds", "trainer_image", "")),
    }
    settings = Settings(
        REFERENCE,
        1,
        folder / "dataset",
        folder / "scratch",
        environ=environ,
        command=(sys.executable, "-m", "tests.support.worker"),
        upkeep_seconds=upkeep_seconds,
    )
    return Supervisor(settings, store)


def segments(store: FolderStore, kind: str) -> list[str]:
    return [item.key for item in store.objects(f"{PATHS.attempt(1)}{kind}-")]


def log_lines(store: FolderStore) -> list[str]:
    read = settled(lambda: [store.get(key) for key in to_read(segments(store, "log"))])
    return b"".join(read).decode().splitlines()


def summary(store: FolderStore) -> JobSummary:
    return JobSummary.model_validate_json(store.get(PATHS.summary))


def steps_done(store: FolderStore) -> int:
    progress = summary(store).progress
    return progress.step if progress else 0


def test_an_attempt_that_ends_leaves_one_object_of_each_kind_and_columns(
    folder: Path, store: FolderStore
) -> None:
    code, _ = supervised(folder, store).run()
    assert code is ExitCode.SUCCEEDED
    assert [len(segments(store, kind)) for kind in ("metrics", "log")] == [1, 1]
    columns = load(store.get(PATHS.columns(1)))
    assert columns[ColumnName.BYTES].tolist() == [len(store.get(*segments(store, "metrics")))]
    assert len(columns[ColumnName.STEPS])
    assert log_lines(store)[:2] == EARLIER
    assert "Succeeded" in log_lines(store)[-1]


def test_a_running_attempt_merges_its_segments_and_sums_up(
    folder: Path, store: FolderStore
) -> None:
    ends: list[tuple[ExitCode, Result]] = []
    supervisor = supervised(folder, store, upkeep_seconds=0.1, **LONG)
    threading.Thread(target=lambda: ends.append(supervisor.run()), daemon=True).start()
    eventually(lambda: PATHS.log(1, 0) not in segments(store, "log"))
    assert log_lines(store)[:2] == EARLIER
    eventually(lambda: bool(store.objects(PATHS.summary)) and steps_done(store) > 0)
    (running,) = summary(store).attempts
    assert running.ended_at is None
    supervisor.request_stop()
    eventually(lambda: bool(ends))
    (ended,) = summary(store).attempts
    assert (ended.reason, ended.last_step) == ("Stopped", ends[0][1].step)
    assert log_lines(store)[:2] == EARLIER


def test_what_cannot_be_merged_costs_the_run_nothing(folder: Path, store: FolderStore) -> None:
    class Frozen(FolderStore):
        """A store that gives nothing up."""

        def delete(self, key: str) -> None:
            if "/checkpoints/" not in key:
                raise Unavailable("StoreUnavailable", f"{key} is kept")
            super().delete(key)

    code, result = supervised(folder, Frozen(store.root)).run()
    assert code is ExitCode.SUCCEEDED
    assert Result.model_validate_json(store.get(PATHS.result(1))) == result
    assert len(segments(store, "log")) > len(to_read(segments(store, "log"))) == 1
    assert log_lines(store)[:2] == EARLIER


def test_the_dataset_that_was_fetched_is_told_in_the_record(
    folder: Path, store: FolderStore
) -> None:
    (folder / "dataset").mkdir()
    for split in ("train", "validation"):
        found = SplitFingerprint(images=1, bytes=2, objects=split)
        write_fetched(folder / "dataset", split, "2026-01-02T03:04:05Z", found)
    supervised(folder, store).run()
    dataset = JobRecord.model_validate_json(store.get(PATHS.job_json)).dataset
    assert dataset is not None
    assert dataset.train is not None
    assert dataset.validation is not None
    assert (dataset.train.objects, dataset.validation.objects) == ("train", "validation")
    (attempt,) = summary(store).attempts
    assert attempt.dataset == dataset.digest
    assert attempt.started_at == "2026-01-02T03:04:05Z"
    assert attempt.fetched_at


def test_what_is_odd_about_the_dataset_is_the_first_that_the_log_says(
    folder: Path, store: FolderStore
) -> None:
    (folder / "dataset").mkdir()
    found = SplitFingerprint(images=1, bytes=2, objects="train")
    odd = ["no training image has a single object", "images/a.png: transparent in part"]
    write_fetched(folder / "dataset", "train", "2026-01-02T03:04:05Z", found, odd)
    supervised(folder, store).run()
    said = [line for line in log_lines(store) if line not in EARLIER]
    assert [line.partition(" WARNING ")[2] for line in said[:2]] == [
        f"the train dataset: {each}" for each in odd
    ]
