"""Who leads, and from when to when: in virtual time."""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from sihl_operator.kube import ConflictError, NotFoundError, UnavailableError
from sihl_operator.leader import Leader
from sihl_operator.metrics import Metrics
from sihl_operator.rounds import Rounds
from sihl_operator.settings import Settings
from sihl_operator.sightings import Clocks
from sihl_operator.world import World
from tests.simulation.clock import VirtualLoop
from tests.simulation.replica import Replica
from tests.simulation.server import Faults, SimulatedApi, SimulatedServer
from tests.support.objects import NOW, SPEC, Raw, job
from tests.unit.test_operator_rounds import SlowApi

DURATION = Settings().lease_duration
RENEWAL = Settings().lease_renewal


def play(story: Coroutine[Any, Any, None], loop: VirtualLoop | None = None) -> None:
    """In virtual time."""

    async def tell() -> None:
        await story
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    (loop or VirtualLoop(0.0)).run_until_complete(tell())


def now() -> float:
    return asyncio.get_running_loop().time()


class Lease:
    """The API server, as far as its one Lease goes."""

    def __init__(self) -> None:
        self.raw: Raw | None = None
        self.takes = 0.0
        """Seconds until a write that has taken effect is answered."""
        self.far = 0.0
        """Seconds that each question takes on its way, and each answer."""
        self.away = False

    @property
    def holder(self) -> str:
        return str(self.raw["spec"]["holderIdentity"]) if self.raw else ""

    def taken_by(self, other: str, **more: Any) -> None:
        """Another replica takes it, whoever has it."""
        assert self.raw is not None
        self._put({**self.raw, "spec": {**self.raw["spec"], "holderIdentity": other, **more}})

    def labelled(self, label: str) -> None:
        """Somebody who is no replica writes what is none of the lease."""
        assert self.raw is not None
        self._put({**self.raw, "metadata": {**self.raw["metadata"], "labels": {"who": label}}})

    async def lease(self, verb: str, namespace: str, name: str, body: Raw | None = None) -> Raw:
        if self.away:
            raise UnavailableError(0, "Unavailable", "no route to host")
        await asyncio.sleep(self.far)
        answer = await self._answer(verb, name, body)
        await asyncio.sleep(self.far)
        return answer

    async def _answer(self, verb: str, name: str, body: Raw | None) -> Raw:
        if verb == "get":
            if self.raw is None:
                raise NotFoundError(404, "NotFound", name)
            return copy.deepcopy(self.raw)
        assert body is not None
        known = self.raw["metadata"]["resourceVersion"] if self.raw else None
        if body["metadata"].get("resourceVersion") != known:
            raise ConflictError(409, "Conflict", "the lease has been modified")
        written = self._put(body)
        await asyncio.sleep(self.takes)
        return written

    def _put(self, body: Raw) -> Raw:
        version = int(self.raw["metadata"]["resourceVersion"]) + 1 if self.raw else 1
        self.raw = copy.deepcopy(body)
        self.raw["metadata"]["resourceVersion"] = str(version)
        return copy.deepcopy(self.raw)


class Work:
    """What has to be done before a replica leads, and how often it was."""

    def __init__(self, takes: float = 0.0) -> None:
        self.takes = takes
        self.faults: list[Exception] = []
        self.begun: list[float] = []
        self.done: list[float] = []

    async def __call__(self) -> None:
        self.begun.append(now())
        await asyncio.sleep(self.takes)
        if self.faults:
            raise self.faults.pop()
        self.done.append(now())


def compete(
    lease: Lease, began: Callable[[], Awaitable[None]], identity: str = "a"
) -> tuple[Leader, asyncio.Task[None]]:
    leader = Leader(lease, Settings(identity=identity), now)  # type: ignore[arg-type] # all it needs
    return leader, asyncio.ensure_future(leader.run(began))


def test_the_lease_is_renewed_while_what_comes_before_leading_takes_longer_than_it_lasts() -> None:
    async def story() -> None:
        lease, work = Lease(), Work(takes=3 * DURATION)
        first, _ = compete(lease, work, "a")
        await asyncio.sleep(1)
        second, _ = compete(lease, work, "b")
        while not first.leading:
            assert not second.leading
            await asyncio.sleep(1)
        assert now() <= 3 * DURATION + 1
        await asyncio.sleep(10 * DURATION)
        assert first.leading
        assert not second.leading
        assert work.begun == [0]

    play(story())


def test_nobody_leads_before_all_is_done_that_comes_before_also_for_the_second_time() -> None:
    async def story() -> None:
        lease, work = Lease(), Work(takes=3)
        leader, _ = compete(lease, work)
        await asyncio.sleep(2.9)
        assert not leader.leading
        await asyncio.sleep(0.2)
        assert leader.leading
        lease.taken_by("other")
        await asyncio.sleep(RENEWAL)
        assert not leader.leading
        await asyncio.sleep(2 * DURATION)
        assert lease.holder == "a"
        assert leader.leading
        assert len(work.begun) == 2

    play(story())


def test_a_silent_holder_is_waited_for_as_long_as_it_said_whatever_its_clock_says() -> None:
    async def story() -> None:
        lease, work = Lease(), Work()
        leader, _ = compete(lease, work)
        await asyncio.sleep(1)
        stated = {"leaseDurationSeconds": int(3 * DURATION), "renewTime": "2001-01-01T00:00:00Z"}
        lease.taken_by("other", **stated)
        await asyncio.sleep(2.5 * DURATION)
        assert lease.holder == "other"
        lease.labelled("a backup")  # which is no sign of the holder's life
        await asyncio.sleep(0.5 * DURATION + 2 * RENEWAL)
        assert leader.leading
        assert lease.raw is not None
        assert lease.raw["spec"]["leaseDurationSeconds"] == int(DURATION)

    play(story())


def test_a_lease_that_somebody_made_last_for_years_keeps_nobody_from_leading_for_long() -> None:
    async def story() -> None:
        lease, work = Lease(), Work()
        leader, _ = compete(lease, work)
        await asyncio.sleep(1)
        most = 2**31 - 1  # that the API server takes
        lease.taken_by("gone", leaseDurationSeconds=most, leaseTransitions=most)
        await asyncio.sleep(3600)
        assert leader.leading
        assert lease.raw is not None
        assert lease.raw["spec"]["leaseDurationSeconds"] == int(DURATION)
        assert lease.raw["spec"]["leaseTransitions"] == most

    play(story())


def test_who_loses_the_lease_before_that_is_done_does_not_lead() -> None:
    async def story() -> None:
        lease, work = Lease(), Work(takes=DURATION)
        leader, _ = compete(lease, work)
        await asyncio.sleep(1)
        lease.taken_by("other")
        await asyncio.sleep(DURATION + 1)
        assert not work.done
        assert not leader.leading

    play(story())


def test_who_lets_go_of_the_lease_before_that_is_done_does_not_lead() -> None:
    async def story() -> None:
        lease, work = Lease(), Work(takes=2)
        leader, task = compete(lease, work)
        await asyncio.sleep(1)
        await leader.release()
        task.cancel()
        await asyncio.sleep(5)
        assert lease.holder == ""
        assert not work.done
        assert not leader.leading

    play(story())


def test_what_fails_before_leading_is_tried_again() -> None:
    async def story() -> None:
        lease, work = Lease(), Work(takes=1)
        work.faults = [UnavailableError(0, "Unavailable", "no route to host")]
        leader, _ = compete(lease, work)
        await asyncio.sleep(1.5)
        assert not leader.leading
        await asyncio.sleep(RENEWAL + 1)
        assert leader.leading
        assert len(work.begun) == 2

    play(story())


def test_a_fault_of_the_operators_own_ends_the_task_as_the_probes_tell() -> None:
    async def story() -> None:
        work = Work(takes=1)
        work.faults = [RuntimeError("broken")]
        leader, task = compete(Lease(), work)
        await asyncio.sleep(1 + RENEWAL)
        assert not leader.leading
        assert task.done()
        with pytest.raises(RuntimeError, match="broken"):
            await task

    play(story())


def test_who_is_silent_for_as_long_as_the_lease_lasts_leads_no_more_and_then_begins_anew() -> None:
    async def story() -> None:
        lease, work = Lease(), Work()
        leader, _ = compete(lease, work)
        await asyncio.sleep(1)
        lease.away = True
        await asyncio.sleep(DURATION - 1.1)
        assert leader.leading
        await asyncio.sleep(0.2)
        assert not leader.leading
        lease.away = False
        await asyncio.sleep(RENEWAL)
        assert leader.leading
        assert len(work.done) == 2

    play(story())


def test_a_renewal_that_is_answered_after_the_lease_was_over_has_all_begin_anew() -> None:
    async def story() -> None:
        lease, work = Lease(), Work()
        leader, _ = compete(lease, work)
        await asyncio.sleep(1)
        lease.takes = 1000
        await asyncio.sleep(RENEWAL + DURATION / 2 - 1.1)
        lease.takes = DURATION / 2 - RENEWAL + 1
        await asyncio.sleep(DURATION / 2 - RENEWAL + 0.2)
        assert not leader.leading, "no answer yet, and from now on it may be another's"
        await asyncio.sleep(1)
        assert leader.leading
        assert len(work.done) == 2

    play(story())


@pytest.mark.parametrize("round_trip", [4.0, 0.45 * DURATION])
def test_who_leads_goes_on_leading_though_the_api_server_takes_seconds_to_answer(
    round_trip: float,
) -> None:
    async def story() -> None:
        lease = Lease()
        first, _ = compete(lease, Work(), "a")
        await asyncio.sleep(1)
        second, _ = compete(lease, Work(), "b")
        lease.far = round_trip / 2
        for _ in range(20 * int(DURATION)):
            await asyncio.sleep(1)
            assert first.leading
            assert not second.leading

    play(story())


def test_one_answer_that_never_comes_costs_no_lead() -> None:
    async def story() -> None:
        lease, work = Lease(), Work()
        leader, _ = compete(lease, work)
        await asyncio.sleep(1)
        lease.takes = 1000
        await asyncio.sleep(RENEWAL)
        lease.takes = 0
        for _ in range(3 * int(DURATION)):
            await asyncio.sleep(1)
            assert leader.leading
        assert len(work.done) == 1

    play(story())


def test_of_two_replicas_one_goes_on_leading_though_a_list_takes_longer_than_the_lease_lasts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = SimulatedApi.list_all

    async def slowly(self: SimulatedApi, kind: str) -> tuple[list[Raw], str]:
        await asyncio.sleep(0.4 * DURATION)  # there are three kinds
        return await listed(self, kind)

    monkeypatch.setattr(SimulatedApi, "list_all", slowly)
    loop = VirtualLoop(NOW)
    faults = Faults(latest=0.05)
    faults.end()
    server = SimulatedServer(random.Random(1), faults, loop.time)
    replicas = [
        Replica(server, Settings(identity=name), random.Random(2), lambda _: None) for name in "ab"
    ]

    async def story() -> None:
        for replica in replicas:
            replica.start(loop)
        metadata = {"namespace": "team", "name": "job"}
        raw = server.create("job", {"metadata": metadata, "spec": SPEC})
        await asyncio.sleep(1.2 * DURATION + 1)
        raw = server.get("job", "team", "job")
        assert raw["status"]["phase"] == "Queued", "one list was enough"
        await asyncio.sleep(40 * DURATION)
        (lease,) = server.objects["lease"].values()
        assert lease["spec"]["leaseTransitions"] == 0

    play(story(), loop)


async def test_who_stands_by_keeps_nothing_and_decides_on_everything_once_it_leads() -> None:
    world, api = World(), SlowApi()
    entitled = False
    rounds = Rounds(world, api, Settings(), Metrics(world), Clocks(), lambda: entitled)
    running = asyncio.create_task(rounds.run())

    async def rest() -> None:
        rounds.wake()
        while rounds._wake.is_set():  # noqa: ASYNC110 (an event that tells it is not needed else)
            await asyncio.sleep(0.001)

    for number in range(10):
        world.saw_job(job(f"gone-{number}", "Queued", project=f"p{number}").raw)
        world.lose_job(("team", f"gone-{number}"))
    stays = job("stays", spec={})
    api.objects["stays"] = dict(stays.raw)
    world.saw_job(stays.raw)
    places = rounds._steps._places
    places._refreshed["team", "gone-1"] = NOW  # it has led before
    places._slots["team", "gone-2"] = NOW
    await rest()
    kept = world.dirty, world.dirty_queues, places._refreshed, places._slots
    assert not any(kept), kept
    entitled = True
    rounds.lead()
    await rest()
    assert rounds._acts.busy == {("team", "stays")}
    running.cancel()
