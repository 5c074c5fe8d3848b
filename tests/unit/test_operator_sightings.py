"""Time-outs run from when this process saw a thing, whatever any clock of the day says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sihl_api.times import rfc3339
from sihl_operator import status as say
from sihl_operator.decision import NOTHING
from sihl_operator.lifecycle import decide, patience_left
from sihl_operator.moment import Moment
from sihl_operator.patches import as_json
from sihl_operator.settings import Settings
from sihl_operator.sightings import Sightings
from sihl_operator.world import World
from tests.support.objects import NOW, RUNNING, ended, job, raw_pod, waiting


class Hand:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_is_so_keeps_its_time_and_what_is_so_again_begins_anew() -> None:
    clock = Hand()
    sightings = Sightings(clock)
    sightings.note("uid", "first")
    clock.now = 5
    sightings.note("uid", "first", "second")
    clock.now = 7
    assert (sightings.age("uid", "first"), sightings.age("uid", "second")) == (7, 2)
    sightings.note("uid", "second")
    sightings.note("uid", "first", "second")
    assert (sightings.age("uid", "first"), sightings.age("uid", "second")) == (0, 2)


@given(hours=st.floats(-48, 48), passed=st.floats(0, 400))
def test_a_pod_keeps_its_grace_whatever_time_its_deletion_is_said_to_be(
    hours: float, passed: float
) -> None:
    clock = Hand()
    world = World(clock)
    mark = {
        "deletionTimestamp": rfc3339(NOW + hours * 3600),
        "deletionGracePeriodSeconds": 60,
    }
    world.saw_pod(raw_pod(version=1, containers={"trainer": RUNNING}))
    clock.now = 1000
    world.saw_pod(raw_pod(version=2, containers={"trainer": RUNNING}, metadata=mark))
    clock.now += passed
    (pod,) = world.pods.values()
    left = patience_left(pod, world.ages(None, pod), Settings(lost_node_timeout=300))
    assert left == pytest.approx(360 - passed)


@given(hours=st.floats(-48, 48), passed=st.floats(0, 400), again=st.booleans())
def test_a_job_is_deleted_as_long_after_its_end_as_it_says_whatever_clock_tells_the_end(
    hours: float, passed: float, again: bool
) -> None:
    clock = Hand()
    world = World(clock)
    told = {"attempt": 1, "endedAt": rfc3339(NOW + hours * 3600)}
    world.saw_job(job(phase="Running", ttlAfterFinished="2m").raw)
    clock.now = 1000
    world.saw_job(job(phase="Succeeded", status=told, version=2, ttlAfterFinished="2m").raw)
    clock.now += passed
    if again:  # nothing that is seen of it anew begins its time anew
        world.saw_job(job(phase="Succeeded", status=told, version=3, ttlAfterFinished="2m").raw)
    (ended_job,) = world.jobs.values()
    decision = decide(ended_job, None, Moment(NOW, Settings(), ages=world.ages(ended_job, None)))
    assert decision.expire is (clock.now - 1000 >= 120)
    if not decision.expire:
        assert decision.after == pytest.approx(120 - passed)


@pytest.mark.parametrize("phase", [None, "Queued", "Starting", "Running", "Stopping", "Stopped"])
def test_a_job_that_is_not_finished_is_never_deleted(phase: str | None) -> None:
    clock = Hand()
    world = World(clock)
    status = {"attempt": 1, "phase": phase} if phase else {}
    world.saw_job(job(phase=phase, status=status, ttlAfterFinished="1m", suspend=True).raw)
    clock.now = 1e6
    (view,) = world.jobs.values()
    assert not decide(view, None, Moment(NOW, Settings(), ages=world.ages(view, None))).expire


def test_a_finished_job_without_a_life_or_that_is_deleted_already_is_left_alone() -> None:
    clock = Hand()
    world = World(clock)
    mark = {"deletionTimestamp": rfc3339(NOW), "finalizers": ["example.com/backup"]}
    for raw in (job(phase="Failed").raw, job(phase="Failed", ttlAfterFinished="1m").raw):
        for change in ({}, mark) if "ttlAfterFinished" not in raw["spec"] else (mark,):
            world.saw_job({**raw, "metadata": {**raw["metadata"], **change}})
            clock.now += 1e6
            (view,) = world.jobs.values()
            ages = world.ages(view, None)
            assert decide(view, None, Moment(NOW, Settings(), ages=ages)) == NOTHING
            world.lose_job(view.key)
            world = World(clock)


@given(hours=st.floats(-48, 48), seconds=st.floats(1, 1800))
def test_a_backoff_is_as_long_as_it_was_meant_whatever_clock_wrote_it(
    hours: float, seconds: float
) -> None:
    clock = Hand()
    world = World(clock)
    ends = say.requeued(
        job(phase="Running"), "Crashed", "It did.", NOW + hours * 3600, retry_in=seconds
    )
    held = job(status=as_json(ends))
    world.saw_job(held.raw)
    # Seconds since 1970, as a float, are told apart by less than a microsecond.
    assert seconds - 1e-6 <= world.seen.backoff(held) <= seconds + 2
    clock.now = seconds + 2
    assert world.seen.backoff(held) == 0


def test_what_a_pod_lacks_is_counted_from_when_its_last_container_ended() -> None:
    clock = Hand()
    world = World(clock)
    starting = job(phase="Starting")
    world.saw_job(starting.raw)
    for version, fetch in ((1, RUNNING), (2, ended(0)), (3, ended(0))):
        clock.now = version * 100
        states = {"trainer": waiting("PodInitializing")}
        world.saw_pod(raw_pod(version=version, init={"fetch-train": fetch}, containers=states))
    (pod,) = world.pods.values()
    ages = world.ages(starting, pod)
    assert (ages.attempt, ages.progress) == (300, 100)


def test_what_is_gone_is_remembered_by_nobody() -> None:
    world = World(Hand())
    for version in range(1, 20, 4):
        world.saw_job(job(f"job-{version}", "Running", version=version).raw)
        world.saw_pod(raw_pod(f"job-{version}", version=version + 1))
        world.saw_pod(raw_pod(f"job-{version}", version=version + 2), deleted=True)
        world.saw_job(job(f"job-{version}", "Running", version=version + 3).raw, deleted=True)
    world.saw_all("job", [], "100")
    world.saw_all("pod", [], "100")
    for pod in list(world.pods.values()):
        world.drop_pod(pod)
    assert not world.seen._since
