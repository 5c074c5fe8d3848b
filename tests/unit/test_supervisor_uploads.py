"""What becomes of an upload that fails."""

from __future__ import annotations

import errno
import itertools
import queue
import shutil
from pathlib import Path

import pytest

from sihl_trainer.errors import Unavailable
from sihl_trainer.record.store import FolderStore
from sihl_trainer.record.writable import Writable
from sihl_trainer.supervisor.events import CheckpointDurable, Event, Upload, UploadFailed
from sihl_trainer.supervisor.uploads import Uploads
from tests.support.records import PATHS, make_folder


class Failing(FolderStore):
    """A folder that takes no file while there is an error."""

    error: Exception | None = None

    def upload(self, key: str, path: Path) -> None:
        if self.error is not None:
            raise self.error
        super().upload(key, path)


class Attempt:
    def __init__(self, folder: Path) -> None:
        self.store = Failing(folder / "store")
        self.writable = Writable(clock=itertools.count(0, 60).__next__)
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.checkpoint = folder / "checkpoint"
        make_folder(self.checkpoint, {"weights": b"learnt"}, step=10)
        told = (self.writable, lambda *_: None, self.events.put)
        self.uploads = Uploads(self.store, PATHS, 1, *told)

    def upload(self) -> Event:
        self.uploads.begin(Upload(self.checkpoint, 10))
        return self.events.get(timeout=60)


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    return Attempt(tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("StoreUnavailable", "away"),
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.EIO, "Input/output error"),
        ValueError("what nobody foresaw"),
    ],
)
def test_what_is_whole_on_this_machine_is_told_and_tried_again_whatever_kept_it_from_the_record(
    attempt: Attempt, error: Exception
) -> None:
    attempt.store.error = error
    failed = attempt.upload()
    assert isinstance(failed, UploadFailed)
    assert not failed.hopeless
    report = attempt.writable.report()
    assert report is not None
    assert "Checkpoints cannot be written" in report.message
    attempt.store.error = None
    assert isinstance(attempt.upload(), CheckpointDurable)


@pytest.mark.parametrize("lost", ["a file", "the manifest", "its end", "the folder"])
def test_what_is_not_whole_on_this_machine_is_given_up(attempt: Attempt, lost: str) -> None:
    folder = attempt.checkpoint
    manifest = folder / "manifest.json"
    weights = next(path for path in sorted(folder.iterdir()) if path != manifest)
    match lost:
        case "a file":
            weights.unlink()
        case "the manifest":
            manifest.write_text("{}")
        case "its end":
            weights.write_bytes(weights.read_bytes()[:-1])
        case "the folder":
            shutil.rmtree(folder)
    failed = attempt.upload()
    assert isinstance(failed, UploadFailed)
    assert failed.hopeless
