"""What is read of a folder before anybody asks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sihl_dashboard.records import FolderPlace, Records
from sihl_dashboard.records.early import read_early
from sihl_dashboard.server import main
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


async def test_a_folder_is_read_by_who_serves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, begun = asyncio.get_running_loop(), asyncio.Event()
    monkeypatch.setattr(main, "read_early", lambda _: loop.call_soon_threadsafe(begun.set))
    async with main.local_state(str(tmp_path)) as state:
        await asyncio.wait_for(begun.wait(), 60)
    state.close()


async def test_a_store_is_read_only_for_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "key")
    monkeypatch.setattr(State, "ahead", None)  # calling it would raise
    async with main.local_state("s3://runs", "http://127.0.0.1:1") as state:
        state.close()
