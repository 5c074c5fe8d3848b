"""What Prometheus is told: what came to an end is measured once, and what is unknown is not."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from sihl_api.times import rfc3339
from sihl_operator.metrics import Metrics
from sihl_operator.views import JobView
from sihl_operator.world import World
from tests.support.objects import NOW, Raw, job, raw_node, raw_pod
from tests.unit.test_operator_rounds import SlowApi, leading

CREATED = rfc3339(NOW - 100)
STARTED = rfc3339(NOW - 40)


NOTHING = (0, 0)
"""No duration, of a queue that is known: Prometheus sees no increase from nowhere."""


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(World(), lambda: NOW)


def seen(*jobs: JobView) -> Metrics:
    """Metrics of a world with these jobs."""
    world = World()
    for each in jobs:
        world.saw_job(each.raw)
    return Metrics(world, lambda: NOW)


def at(phase: str | None, created: str = CREATED, **status: Any) -> JobView:
    """The job in a phase."""
    return job(phase=phase, created=created, status={"startedAt": STARTED, **status})


def observed(
    metrics: Metrics, name: str, queue: str = "cells", namespace: str = "team"
) -> tuple[float, float] | None:
    """How many durations of a histogram there are, and their sum; None: none yet."""
    labels = {"namespace": namespace, "queue": queue}
    values = [
        metrics.registry.get_sample_value(f"{name}_{part}", labels) for part in ("count", "sum")
    ]
    return None if values[0] is None or values[1] is None else (values[0], values[1])


def ages(metrics: Metrics) -> list[float]:
    family = next(
        each
        for each in metrics.registry.collect()
        if each.name == "sihl_job_checkpoint_age_seconds"
    )
    return [sample.value for sample in family.samples]


# --- durations -------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [None, "Queued"])
def test_queue_wait_is_from_submission_to_the_first_attempt(
    metrics: Metrics, before: str | None
) -> None:
    metrics.moved(at(before), at("Starting"), NOW, None)
    assert observed(metrics, "sihl_job_queue_wait_seconds") == (1, 100)


def test_a_later_attempt_is_no_queue_wait(metrics: Metrics) -> None:
    metrics.moved(at("Queued", attempt=1), at("Starting", attempt=2), NOW, None)
    assert observed(metrics, "sihl_job_queue_wait_seconds") == NOTHING


def test_waits_are_told_by_the_queue_under_which_the_job_was_admitted(metrics: Metrics) -> None:
    metrics.moved(at("Queued"), at("Starting", queue="plates"), NOW, None)
    assert observed(metrics, "sihl_job_queue_wait_seconds", "plates") == (1, 100)
    assert observed(metrics, "sihl_job_queue_wait_seconds") is None


def test_queues_of_one_name_in_two_namespaces_are_two(metrics: Metrics) -> None:
    def theirs(phase: str) -> JobView:
        raw = at(phase).raw
        return JobView({**raw, "metadata": {**raw["metadata"], "namespace": "other"}})

    for before, after in pairwise(("Queued", "Starting", "Running", "Stopping", "Stopped")):
        metrics.moved(theirs(before), theirs(after), NOW, 1)
    for name in ("queue_wait", "time_to_running", "stop"):
        assert observed(metrics, f"sihl_job_{name}_seconds") is None
        assert observed(metrics, f"sihl_job_{name}_seconds", namespace="other") is not None


def test_time_to_running_is_from_admission_to_training(metrics: Metrics) -> None:
    metrics.moved(at("Starting"), at("Running"), NOW, None)
    assert observed(metrics, "sihl_job_time_to_running_seconds") == (1, 40)


def test_progress_of_a_running_job_measures_nothing(metrics: Metrics) -> None:
    metrics.moved(at("Running"), at("Running"), NOW, None)
    for name in ("queue_wait", "time_to_running", "stop"):
        assert observed(metrics, f"sihl_job_{name}_seconds") == NOTHING


@pytest.mark.parametrize("after", ["Stopped", "Queued", "Succeeded", "Failed"])
def test_a_stop_is_from_its_beginning_to_the_pods_end_whatever_the_end(
    metrics: Metrics, after: str
) -> None:
    metrics.moved(at("Stopping"), at(after), NOW, 12)
    assert observed(metrics, "sihl_job_stop_seconds") == (1, 12)


def test_a_stop_that_has_not_ended_is_not_measured(metrics: Metrics) -> None:
    metrics.moved(at("Running"), at("Stopping"), NOW, NOW)
    metrics.moved(at("Stopping"), at("Stopping"), NOW, 1)
    assert observed(metrics, "sihl_job_stop_seconds") == NOTHING


def test_a_stop_whose_beginning_another_leader_saw_is_not_measured(metrics: Metrics) -> None:
    metrics.moved(at("Stopping"), at("Stopped"), NOW, None)
    assert observed(metrics, "sihl_job_stop_seconds") == NOTHING


def test_a_clock_that_lags_behind_the_api_servers_makes_no_negative_time(metrics: Metrics) -> None:
    late = NOW - 1000
    metrics.moved(at("Queued"), at("Starting"), late, None)
    metrics.moved(at("Starting"), at("Running"), late, None)
    assert observed(metrics, "sihl_job_queue_wait_seconds") == (1, 0)
    assert observed(metrics, "sihl_job_time_to_running_seconds") == (1, 0)


# --- gauges ----------------------------------------------------------------------------------


def saved(seconds_ago: float) -> Raw:
    return {"checkpoint": {"step": 7, "uri": "s3://b/c", "savedAt": rfc3339(NOW - seconds_ago)}}


def test_an_active_jobs_checkpoint_has_an_age() -> None:
    metrics = seen(job(phase="Running", status=saved(30)))
    labels = {"namespace": "team", "queue": "cells", "training_job": "job"}
    age = metrics.registry.get_sample_value("sihl_job_checkpoint_age_seconds", labels)
    assert age == 30


@pytest.mark.parametrize(
    ("phase", "status"),
    [("Running", {}), ("Stopped", saved(30)), ("Queued", saved(30)), ("Succeeded", saved(30))],
)
def test_who_is_not_active_or_has_no_checkpoint_has_no_age(phase: str, status: Raw) -> None:
    assert ages(seen(job(phase=phase, status=status))) == []


def test_an_age_is_not_negative_where_a_nodes_clock_is_ahead() -> None:
    assert ages(seen(job(phase="Running", status=saved(-5)))) == [0]


def test_a_time_that_is_none_hides_nobody_elses_age() -> None:
    spoilt = {"checkpoint": {"step": 7, "uri": "s3://b/c", "savedAt": "yesterday"}}
    other = {**saved(30), "queue": "plates"}
    jobs = job("a", "Running", spoilt), job("b", "Running", other, project="plates")
    assert ages(seen(*jobs)) == [30]


def test_jobs_are_counted_by_phase_and_those_in_line_have_positions() -> None:
    metrics = seen(job("a", "Running"), job("b", "Queued"), job("c"))
    value = metrics.registry.get_sample_value
    where = {"namespace": "team", "queue": "cells"}
    counts = {
        phase: value("sihl_jobs", {**where, "phase": phase})
        for phase in ("Queued", "Running", "Failed")
    }
    assert counts == {"Queued": 2, "Running": 1, "Failed": 0}
    places = [value("sihl_job_queue_position", {**where, "training_job": name}) for name in "abc"]
    assert places == [None, 1, 2]


OBSTACLE = {"reason": "ImageNotPulled", "since": STARTED, "attempts": 1}


def told(kind: str, reason: str) -> Raw:
    """A status with one condition."""
    when = {"lastTransitionTime": STARTED}
    return {"conditions": [{"type": kind, "status": "False", "reason": reason, **when}]}


HELD_BACK = {"retryAfter": rfc3339(NOW - 10), **told("Admitted", "ImageNotPulled")}


def values(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """A gauge's, by those labels that are neither namespace nor queue."""
    family = next(each for each in metrics.registry.collect() if each.name == name)
    return {
        tuple(v for k, v in s.labels.items() if k not in ("namespace", "queue")): s.value
        for s in family.samples
    }


def test_a_job_that_starts_is_hindered_by_what_its_status_says_is_in_its_way_now() -> None:
    hindered = {"obstacle": OBSTACLE, **told("DatasetReady", "ImageNotPulled")}
    assert values(seen(job("a", "Starting", hindered)), "sihl_job_hindered") == {
        ("a", "ImageNotPulled"): 1
    }


@pytest.mark.parametrize(
    ("phase", "status"),
    [
        ("Starting", {"obstacle": OBSTACLE, **told("DatasetReady", "NotFetched")}),  # long past
        ("Starting", told("DatasetReady", "NotFetched")),  # a fetch may take days
        ("Queued", {"obstacle": OBSTACLE, **told("Admitted", "WaitingForGPUs")}),
        ("Running", {"obstacle": OBSTACLE}),
        ("Failed", {"obstacle": OBSTACLE, "retryAfter": rfc3339(NOW + 100)}),
        *(
            ("Starting", {"obstacle": OBSTACLE | {"reason": line}, **told("DatasetReady", line)})
            for line in ("SchedulingGated", "QuotaExceeded")  # other lines to wait in
        ),
    ],
)
def test_who_waits_fetches_or_trains_is_hindered_by_nobody(phase: str, status: Raw) -> None:
    assert values(seen(job("a", phase, status)), "sihl_job_hindered") == {}


def test_a_job_that_is_held_back_by_an_obstacle_is_hindered_until_it_may_start_again() -> None:
    status = {"obstacle": OBSTACLE, **HELD_BACK}
    world, clock = waiting_world(job("a", "Queued", status, version=2))
    assert values(Metrics(world), "sihl_job_hindered") == {("a", "ImageNotPulled"): 1}
    clock.now += 10_000
    assert values(Metrics(world), "sihl_job_hindered") == {}


@dataclass
class Hands:
    """A clock that is set by hand."""

    now: float = 0.0


def waiting_world(*jobs: JobView) -> tuple[World, Hands]:
    """A world that has seen these jobs, and its clock."""
    hands = Hands()
    world = World(lambda: hands.now)
    for each in jobs:
        world.saw_job(each.raw)
    return world, hands


def test_a_queue_that_nobody_has_tells_why_its_first_waits_and_for_how_many_gpus() -> None:
    first = job("a", "Queued", told("Admitted", "NoNodeFits"), runner={"gpus": 8})
    metrics = seen(first, job("b", "Queued", created="2027-01-15T09:00:00Z"))
    assert values(metrics, "sihl_queue_waiting_gpus") == {("NoNodeFits",): 8}


def test_a_queue_that_somebody_has_or_that_is_empty_waits_for_nothing() -> None:
    status = told("Admitted", "WaitingForQueue")
    for jobs in ([job("a", "Running"), job("b", "Queued", status)], [job("a", "Failed")]):
        assert values(seen(*jobs), "sihl_queue_waiting_gpus") == {}


def test_who_is_held_back_is_not_the_first_of_its_queue() -> None:
    world, _ = waiting_world(job("a", "Queued", HELD_BACK))
    assert values(Metrics(world), "sihl_queue_waiting_gpus") == {}
    world.saw_job(job("b", "Queued", told("Admitted", "WaitingForGPUs")).raw)
    assert values(Metrics(world), "sihl_queue_waiting_gpus") == {("WaitingForGPUs",): 1}


def test_gpus_are_used_by_whoever_has_them_idle_or_away_with_a_node_that_takes_no_pods() -> None:
    world = World()
    for name in ("n1", "n2"):
        world.occupancy.saw_node(raw_node(name, 4))
    cordoned = raw_node("n3", 2)
    world.occupancy.saw_node({**cordoned, "spec": {"unschedulable": True}})
    world.occupancy.saw_node(raw_node("n4", 0))
    theirs = raw_pod(node="n1", metadata={"name": "theirs", "labels": {}})
    theirs["spec"]["containers"] = [{"resources": {"requests": {"nvidia.com/gpu": "3"}}}]
    world.saw_pod(theirs)
    assert values(Metrics(world), "sihl_gpus") == {
        ("n1", "used"): 3, ("n1", "idle"): 1, ("n1", "away"): 0,
        ("n2", "used"): 0, ("n2", "idle"): 4, ("n2", "away"): 0,
        ("n3", "used"): 0, ("n3", "idle"): 0, ("n3", "away"): 2,
    }  # fmt: skip


# --- counters --------------------------------------------------------------------------------


def test_writes_are_counted_by_verb_and_resource(metrics: Metrics) -> None:
    for verb, resource in [("patch", "trainingjobs")] * 2 + [("create", "pods")]:
        metrics.wrote(verb, resource)
    value = metrics.registry.get_sample_value
    name = "sihl_operator_api_writes_total"
    assert value(name, {"verb": "patch", "resource": "trainingjobs"}) == 2
    assert value(name, {"verb": "create", "resource": "pods"}) == 1
    assert value(name, {"verb": "delete", "resource": "pods"}) is None


async def test_each_round_of_the_leaders_decisions_is_measured_and_nobody_elses() -> None:
    rounds = leading(SlowApi(), gpus=1)
    metrics = rounds._metrics
    loop = asyncio.create_task(rounds.run())

    async def measured() -> float | None:
        """How many were measured, once the loop has taken notice."""
        rounds.wake()
        while rounds._wake.is_set():  # noqa: ASYNC110 (an event that tells it is not needed else)
            await asyncio.sleep(0.001)
        return metrics.registry.get_sample_value("sihl_operator_decision_seconds_count")

    assert await measured() == 1
    assert await measured() == 2
    rounds.follow()
    assert await measured() == 2
    loop.cancel()
