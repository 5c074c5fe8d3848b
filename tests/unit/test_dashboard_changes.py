"""The dashboard starts anew when its stores change."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sihl_dashboard.server.changes import Watched, ended_with


async def test_a_changed_file_ends_it_once_and_a_missing_one_does_not(tmp_path: Path) -> None:
    file = tmp_path / "stores.json"
    file.write_text("{}")
    ends = asyncio.Event()
    watched = Watched(file)
    async with ended_with(watched, ends.set, every=0.01):
        file.unlink()
        await asyncio.sleep(0.05)
        assert not ends.is_set()
        file.write_text('{"vision": {}}')
        await asyncio.wait_for(ends.wait(), 30)


def test_a_file_that_comes_back_as_it_was_is_no_change(tmp_path: Path) -> None:
    file = tmp_path / "stores.json"
    file.write_text("{}")
    watched = Watched(file)
    file.unlink()
    assert not watched.changed()
    file.write_text("{}")
    assert not watched.changed()
    file.write_text("[]")
    assert watched.changed()
