"""Where a watch begins, and begins again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sihl_operator import reflector as module
from sihl_operator.kube import GoneError, See, UnavailableError
from sihl_operator.reflector import Reflector
from sihl_operator.world import World
from tests.support.objects import job


class Store:
    """An API server at a version, which knows what came after another one."""

    def __init__(self, version: int, forgotten: int = 0) -> None:
        self.version, self.forgotten = version, forgotten
        self.watched: list[int] = []
        self.see: See = lambda *_: None
        self.cut = asyncio.Event()

    async def list_all(self, kind: str) -> tuple[list[dict[str, Any]], str]:
        return [], str(self.version)

    async def watch(self, kind: str, version: str, see: See) -> None:
        self.watched.append(int(version))
        if int(version) > self.version:
            raise UnavailableError(504, "Timeout", "Too large resource version")
        if int(version) < self.forgotten:
            raise GoneError(410, "Expired", "too old resource version")
        self.see = see
        await self.cut.wait()
        self.cut.clear()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0)


async def following(store: Store) -> tuple[Reflector, asyncio.Task[None]]:
    reflector = Reflector(World(), store, lambda: None)  # type: ignore[arg-type] # what it needs
    task = asyncio.create_task(reflector.follow("job"))
    await settle()
    return reflector, task


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_watch_begins_at_the_list_and_goes_on_from_the_last_event() -> None:
    store = Store(100)
    _, task = await following(store)
    store.see("MODIFIED", dict(job(version=107).raw))
    store.see("BOOKMARK", {"metadata": {"resourceVersion": "120"}})
    store.version = 130
    store.cut.set()
    await settle()
    assert store.watched == [100, 120]
    task.cancel()


async def test_what_is_too_old_is_listed_anew() -> None:
    store = Store(100)
    _, task = await following(store)
    store.version, store.forgotten = 500, 400
    store.cut.set()
    await settle()
    assert store.watched == [100, 100, 500]
    task.cancel()


async def test_after_the_api_servers_store_was_put_back_a_watch_begins_at_the_new_list() -> None:
    store = Store(600)
    reflector, task = await following(store)
    store.version = 50
    store.cut.set()
    await settle()
    assert set(store.watched) == {600}, "the API server refuses, and nobody knows why"
    await reflector.relist()
    await settle()
    assert store.watched[-1] == 50
    task.cancel()


async def test_a_list_that_was_just_made_serves_who_asks_next() -> None:
    store = Store(100)
    reflector, task = await following(store)
    await reflector.relist()
    before = reflector.age
    store.version = 200
    await reflector.relist(unless_within=60)
    assert reflector._versions["job"] == "100"
    await reflector.relist()
    assert reflector._versions["job"] == "200"
    assert reflector.age <= before + 1
    task.cancel()


async def test_a_watch_that_ends_at_once_is_not_begun_again_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.05)
    loop = asyncio.get_running_loop()
    store, began = Store(100), loop.time()
    _, task = await following(store)
    while len(store.watched) < 5:
        store.cut.set()
        await asyncio.sleep(0)
    assert loop.time() - began >= 4 * 0.05
    task.cancel()


async def test_who_asks_while_a_list_is_under_way_is_served_by_it_however_long_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Store(100)
    reflector = Reflector(World(), store, lambda: None)  # type: ignore[arg-type] # what it needs
    loop = asyncio.get_running_loop()
    began, passed, lists = loop.time(), 0.0, 0
    monkeypatch.setattr(loop, "time", lambda: began + passed)
    listed = store.list_all

    async def slowly(kind: str) -> tuple[list[dict[str, Any]], str]:
        nonlocal passed, lists
        passed, lists = passed + 10, lists + 1
        await asyncio.sleep(0)
        return await listed(kind)

    monkeypatch.setattr(store, "list_all", slowly)
    await asyncio.gather(reflector.relist(), reflector.relist(unless_within=15))
    assert (passed, lists) == (30, 3)
    await reflector.relist(unless_within=15)
    assert lists == 6, "that one began too long ago"
