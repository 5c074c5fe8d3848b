"""What is read of a folder before anybody asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from sihl_dashboard.records import FolderPlace, Records
from sihl_dashboard.records.early import read_early
from sihl_dashboard.server.main import local_state
from sihl_dashboard.server.state import State
from tests.support.recorded import recorded, train


def test_what_jobs_of_a_folder_measured_is_read_before_anybody_asks(tmp_path: Path) -> None:
    jobs = [recorded(tmp_path, name, project=project) for name, project in
            [("one", "cells"), ("two", "cells"), ("one", "digits")]]  # fmt: skip
    for job in jobs:
        job.job()
        job.metrics(1, 0, train(1, 1.0))
    records = Records(FolderPlace(tmp_path))
    read_early(records)
    assert [records.read_ahead([job.ref]) for job in jobs] == [0, 0, 0]
    records.close()


def test_what_cannot_be_read_is_told_only_when_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "team-a").write_text("no folder")
    records = Records(FolderPlace(tmp_path / "team-a"))
    read_early(records)
    records.close()


@pytest.mark.parametrize(("record", "begun"), [("", [read_early]), ("s3://runs", [])])
async def test_a_folder_is_read_by_who_serves_it_and_a_store_only_for_who_asks(
    record: str, begun: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "key")
    found: list[object] = []
    monkeypatch.setattr(State, "ahead", lambda _, __, work: found.append(work))
    async with local_state(record or str(tmp_path), "http://127.0.0.1:1") as state:
        assert found == begun
    state.close()
