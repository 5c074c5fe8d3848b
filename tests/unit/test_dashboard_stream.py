"""What changes is told to all who look, asked about once, and survives the store's going away."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from sihl_dashboard.records import FolderPlace, StoreAwayError
from sihl_dashboard.server import stream
from sihl_dashboard.server.hub import Hub, Topic
from sihl_dashboard.server.people import Person
from sihl_dashboard.server.refusals import NotThereError, UndecidedError
from tests.support.dashboard import API, PROJECT, Event, Looker, looking, state_over, until
from tests.support.recorded import Recorded, Watched, recorded, train

NIGHT = "night.01234567"
JOB = f"jobs=team-a/cells/{NIGHT}"


@pytest_asyncio.fixture
async def place(tmp_path: Path) -> AsyncIterator[Watched]:
    night = recorded(tmp_path)
    night.job()
    night.metrics(1, 0, train(1, 1.0))
    yield Watched(FolderPlace(tmp_path))


@pytest_asyncio.fixture
async def looker(place: Watched) -> AsyncIterator[Looker]:
    state = state_over(place)
    state.hub.fastest = 0.05
    async with looking(state) as looker:
        yield looker


def night(tmp_path: Path) -> Recorded:
    return recorded(tmp_path)


async def test_new_points_are_told_and_then_answered(looker: Looker, tmp_path: Path) -> None:
    events = looker.events(JOB)
    first = await until(events, "job")
    assert (first.data["job"], first.data["trouble"]) == (NIGHT, None)
    url = f"{PROJECT}/curves?jobs={NIGHT}&buckets=9"
    assert (await looker.found(url))["points"] == 1
    night(tmp_path).metrics(1, 1, train(2, 0.5))
    second = await until(events, "job")
    assert second.data["metrics"] != first.data["metrics"]
    assert (await looker.found(url))["points"] == 2


async def test_a_stream_gives_a_sign_of_life_though_nothing_is_new(
    looker: Looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT", 0.05)
    events = looker.events(JOB)
    await until(events, "job")
    for _ in range(2):
        await until(events, "here")


async def test_a_stream_goes_on_where_it_broke_off(looker: Looker, tmp_path: Path) -> None:
    query = f"{JOB}&projects=team-a/cells"
    stays = looker.events(query)  # somebody else listens all the time
    seen = {event.kind: event async for event in _first(stays, 2)}
    assert set(seen) == {"job", "project"}
    last = max(seen.values(), key=lambda event: int(event.id.split("-")[1]))
    night(tmp_path).log(1, 0, "a line\n")
    await until(stays, "job")
    resumed = [event async for event in _first(looker.events(query, last.id), 1)]
    assert [event.kind for event in resumed] == ["job"]
    anew = [event.kind async for event in _first(looker.events(query, "0-0"), 2)]
    assert sorted(anew) == ["job", "project"]


async def _first(events: AsyncIterator[Event], count: int) -> AsyncIterator[Event]:
    async for event in events:
        yield event
        count -= 1
        if not count:
            return


async def test_a_record_is_asked_about_once_for_all_who_look_at_it(
    looker: Looker, place: Watched, tmp_path: Path
) -> None:
    streams = [looker.events(JOB) for _ in range(20)]
    await asyncio.gather(*(until(each, "job") for each in streams))
    place.asked.clear()
    began = time.monotonic()
    night(tmp_path).metrics(1, 1, train(2, 0.5))
    await asyncio.gather(*(until(each, "job") for each in streams))
    rounds = (time.monotonic() - began) / 0.05 + 2
    listings = [each for each in place.asked if "metrics-" in each and each.startswith("items")]
    assert len(listings) <= rounds
    place.asked.clear()
    url = f"{PROJECT}/curves?jobs={NIGHT}&buckets=9"
    answers = await asyncio.gather(*(looker.found(url) for _ in range(20)))
    assert {answer["points"] for answer in answers} == {2}
    read = [each for each in place.asked if each.startswith("get") and "metrics" in each]
    assert len(read) == len(set(read)) == 2


async def test_a_store_that_goes_away_is_told_keeps_what_was_read_and_comes_back(
    looker: Looker, place: Watched, tmp_path: Path
) -> None:
    events = looker.events(JOB)
    await until(events, "job")
    url = f"{PROJECT}/curves?jobs={NIGHT}&buckets=9"
    assert (await looker.found(url))["points"] == 1

    def away(_: str) -> None:
        raise StoreAwayError("the store is away")

    place.before = away
    told = await until(events, "job")
    assert "away" in told.data["trouble"]
    kept = await looker.found(url)
    while not any("away" in trouble["what"] for trouble in kept["troubles"]):
        await asyncio.sleep(0.1)  # what was read a second ago is no trouble
        kept = await looker.found(url)
    assert kept["points"] == 1
    status, error = await looker.get(f"{PROJECT}/jobs/{NIGHT}/log")
    assert (status, error["error"]["code"]) == (503, "store-away")
    jobs = await looker.found(f"{PROJECT}/jobs?limit=1")
    assert any("away" in trouble["what"] for trouble in jobs["troubles"])
    place.before = lambda _: None
    told = await until(events, "job")
    assert told.data["trouble"] is None
    assert (await looker.found(url))["troubles"] == []


async def test_a_stream_ends_when_the_person_may_not_look_any_longer(
    looker: Looker,
) -> None:
    state = looker.state
    state.ask_again = 0.05

    class Revoked:
        async def may(self, person: Person, namespace: str, right: str) -> bool:
            return False

    events = looker.events(JOB)
    await until(events, "job")
    state.access = Revoked()
    told = await until(events, "end")
    assert told.data["code"] == "not-found"
    assert [event async for event in events] == []
    status, _ = await looker.get(f"{API}/stream?{JOB}")
    assert status == 404


async def test_what_is_undecided_ends_a_stream_too(looker: Looker) -> None:
    looker.state.ask_again = 0.05

    class Undecided:
        async def may(self, person: Person, namespace: str, right: str) -> bool:
            raise UndecidedError("nobody answers")

    events = looker.events(JOB)
    await until(events, "job")
    looker.state.access = Undecided()
    assert (await until(events, "end")).data["code"] == "undecided"
    assert (await looker.get(f"{PROJECT}/jobs"))[0] == 503


async def test_what_nobody_listens_to_is_not_asked_about() -> None:
    asked: list[Topic] = []

    async def ask(topic: Topic, known: dict[str, object]) -> tuple[dict[str, object], float]:
        asked.append(topic)
        return {"version": 1}, 3600.0

    hub = Hub(ask, fastest=0.01, linger=0.0)
    topic = Topic("project", "team-a", "cells")
    listener = hub.listen([topic])
    assert await listener.wait(10)
    assert hub.of_project("team-a", "cells") is not None
    hub.leave(listener)
    while hub.topics:  # noqa: ASYNC110 (the hub tells nobody that it forgot)
        await asyncio.sleep(0)
    assert set(asked) == {topic}
    assert hub.of_project("team-a", "cells") is None
    await hub.close()


async def test_a_listener_holds_what_is_due_once_however_slow_it_reads() -> None:
    number = 0

    async def ask(topic: Topic, known: dict[str, object]) -> tuple[dict[str, object], float]:
        nonlocal number
        number += 1
        if number == 3:
            raise NotThereError
        return {"version": number}, 0.0

    hub = Hub(ask, fastest=0.0)
    topic = Topic("overview")
    listener = hub.listen([topic])
    while number < 50:  # noqa: ASYNC110 (it is what the loop does meanwhile)
        await asyncio.sleep(0)
    assert listener.due == {topic}
    await hub.close()


async def test_a_store_that_hangs_keeps_nobody_of_another_namespace_waiting(
    looker: Looker, place: Watched
) -> None:
    released, begun = threading.Event(), list[str]()

    def hang(request: str) -> None:
        if "hangs" in request:
            begun.append(request)
            released.wait()

    place.before = hang
    hanging = [
        asyncio.create_task(looker.get(f"{API}/namespaces/hangs/projects/p/jobs/j.{number}"))
        for number in range(40)
    ]
    try:
        while not begun:  # noqa: ASYNC110 (a thread notes it)
            await asyncio.sleep(0.01)
        assert (await looker.found(f"{PROJECT}/jobs/{NIGHT}"))["job"] == NIGHT
    finally:
        released.set()
    assert {status for status, _ in await asyncio.gather(*hanging)} == {404}


async def test_what_the_cluster_says_is_new_is_asked_about_at_once() -> None:
    times: list[float] = []

    async def ask(topic: Topic, known: dict[str, object]) -> tuple[dict[str, object], float]:
        times.append(time.monotonic())
        return {"version": len(times)}, 3600.0

    hub = Hub(ask, fastest=0.0)
    topic = Topic("project", "team-a", "cells")
    listener = hub.listen([topic])
    assert await listener.wait(10)
    for expected in (2, 3):
        hub.nudge(topic)
        while len(times) < expected:  # noqa: ASYNC110 (the hub's own loop does it)
            await asyncio.sleep(0)
    await hub.close()
