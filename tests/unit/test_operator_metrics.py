"""What Prometheus is told: what came to an end is measured once, and what is unknown is not."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from sihl_operator.metrics import Metrics
from sihl_operator.views import JobView, rfc3339
from sihl_operator.world import World
from tests.support.objects import NOW, Raw, job
from tests.unit.test_operator_rounds import SlowApi, leading

CREATED = rfc3339(NOW - 100)
STARTED = rfc3339(NOW - 40)


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
    assert observed(metrics, "sihl_job_queue_wait_seconds") is None


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
        assert observed(metrics, f"sihl_job_{name}_seconds") is None


@pytest.mark.parametrize("after", ["Stopped", "Queued", "Succeeded", "Failed"])
def test_a_stop_is_from_its_beginning_to_the_pods_end_whatever_the_end(
    metrics: Metrics, after: str
) -> None:
    metrics.moved(at("Stopping"), at(after), NOW, 12)
    assert observed(metrics, "sihl_job_stop_seconds") == (1, 12)


def test_a_stop_that_has_not_ended_is_not_measured(metrics: Metrics) -> None:
    metrics.moved(at("Running"), at("Stopping"), NOW, NOW)
    metrics.moved(at("Stopping"), at("Stopping"), NOW, 1)
    assert observed(metrics, "sihl_job_stop_seconds") is None


def test_a_stop_whose_beginning_another_leader_saw_is_not_measured(metrics: Metrics) -> None:
    metrics.moved(at("Stopping"), at("Stopped"), NOW, None)
    assert observed(metrics, "sihl_job_stop_seconds") is None


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
