"""The front, over a real S3 server: what is answered live, merged, torn, and while it is away."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from sihl_dashboard.records import (
    MissingError,
    Records,
    RecordsError,
    S3Place,
    StoreAwayError,
    View,
)
from sihl_dashboard.records.s3 import S3Settings
from tests.support.proxy import proxied
from tests.support.recorded import Recorded, Watched, train, validation
from tests.support.s3 import S3Server

ATTEMPT = {"startedAt": "2026-01-02T03:00:00Z"}


@pytest.fixture
def job(s3: S3Server) -> Recorded:
    """In a prefix of the test's own."""
    return Recorded(lambda key, data: s3.put("data", {key: data}), prefix=uuid.uuid4().hex)


def place_of(s3: S3Server, job: Recorded, endpoint: str = "", attempts: int = 3) -> S3Place:
    settings = S3Settings(endpoint or s3.endpoint, "data", *s3.reader, prefix=job.prefix)
    return S3Place(settings, attempts)


@pytest.fixture
def place(s3: S3Server, job: Recorded) -> Watched:
    return Watched(place_of(s3, job))


@pytest.fixture
def records(place: Watched) -> Iterator[Records]:
    found = Records(place)
    yield found
    found.close()


def steps(records: Records, *jobs: Recorded) -> list[list[float]]:
    found = records.curves([job.ref for job in jobs], View(metrics=["train/loss"]), max_age=0)
    return [curve.points.x.tolist() for curve in found.curves]


def test_a_live_job_is_seen_to_learn_while_its_segments_are_merged(
    s3: S3Server, job: Recorded, place: Watched, records: Records
) -> None:
    job.job()
    job.metrics(1, 0, train(1, 1.0))
    job.metrics(1, 1, train(2, 1.0))
    assert records.namespaces() == ["team-a"]
    assert records.projects("team-a") == ["cells"]
    assert steps(records, job) == [[1, 2]]
    whole = b"".join(place.get(job.paths.metrics(1, number)).data for number in (0, 1))
    job.put(job.paths.metrics(1, 0, 1), whole)
    s3.empty("data", job.paths.metrics(1, 0))
    job.metrics(1, 2, train(3, 1.0))
    place.asked.clear()
    assert steps(records, job) == [[1, 2, 3]]
    read = [request for request in place.asked if "metrics-0" in request]
    assert read == [f"get {job.paths.metrics(1, 2)}"]  # what is known is not read again


def test_curves_go_through_attempts_as_the_summary_says(job: Recorded, records: Records) -> None:
    job.job()
    job.metrics(1, 0, train(10, 1.0), train(20, 1.0), validation(20, 0.5), train(30, 1.0))
    job.metrics(2, 0, train(25, 2.0))
    job.summary([{**ATTEMPT, "number": 1}, {**ATTEMPT, "number": 2, "resumedAtStep": 20}])
    found = records.curves([job.ref])
    shown = {curve.metric: curve.points.x.tolist() for curve in found.curves}
    assert shown == {"train/loss": [10, 20, 25], "validation/boxes/map": [20]}
    assert found.ghosts == []  # the grid ends where what counts does
    (ghost,) = records.curves([job.ref], View(last=50)).ghosts
    assert (ghost.attempt, ghost.points.x.tolist()) == (1, [30])


def test_a_job_that_has_succeeded_is_not_asked_for_again(
    job: Recorded, place: Watched, records: Records
) -> None:
    job.job()
    job.metrics(1, 0, train(1, 1.0))
    job.summary([{**ATTEMPT, "number": 1, "reason": "Succeeded"}])
    assert steps(records, job) == [[1]]
    place.asked.clear()
    assert steps(records, job) == [[1]]
    assert place.asked == []


def test_what_cannot_be_read_of_one_job_costs_no_other_its_curves(
    job: Recorded, records: Records
) -> None:
    job.job()
    job.metrics(1, 0, train(1, 1.0))
    torn = Recorded(job.put, "torn", job.prefix)
    torn.put(torn.paths.metrics(1, 0), b'{"torn\n' + b"\xff" * 10_000_000)
    torn.put(torn.paths.metrics(1, 7), b"\n")
    torn.put(f"{torn.paths.attempts}not-a-number/x", b"")
    gone = Recorded(job.put, "gone", job.prefix)
    found = records.curves([torn.ref, gone.ref, job.ref])
    assert [curve.ref for curve in found.curves] == [job.ref]
    assert {trouble.where for trouble in found.troubles} >= {"torn.01234567", "gone.01234567"}


def test_little_memory_is_kept_of_what_was_shown_and_shown_again_it_is_the_same(
    job: Recorded, place: Watched
) -> None:
    other = Recorded(job.put, "other", job.prefix)
    for each in (job, other):
        each.job()
        each.metrics(1, 0, *(train(step, 1.0) for step in range(100)))
    records = Records(place, memory=1)
    expected = [list(range(100))] * 2
    assert steps(records, job, other) == steps(records, job, other) == expected
    records.close()


def test_while_the_store_is_away_what_is_known_is_shown_and_then_what_is_new(
    s3: S3Server, job: Recorded
) -> None:
    job.job()
    job.metrics(1, 0, train(1, 1.0))
    with proxied(s3.endpoint) as faults:
        records = Records(place_of(s3, job, faults.endpoint, attempts=1))
        assert steps(records, job) == [[1]]
        faults.down = True
        job.metrics(1, 1, train(2, 1.0))
        assert steps(records, job) == [[1]]
        told = records.curves([job.ref], max_age=0).troubles
        assert any("did not answer" in trouble.what for trouble in told)
        assert records.job(job.ref).facts["spec.training.batchSize"] == 4
        with pytest.raises(StoreAwayError):
            records.log(job.ref)
        faults.down = False
        assert steps(records, job) == [[1, 2]]
        records.close()


def test_a_log_is_read_over_s3_by_parts(job: Recorded, records: Records) -> None:
    for number in range(3):
        job.log(1, number, f"line {number}\n" * 1000)
    log = records.log(job.ref)
    assert [line.text for line in log.backward(log.end, 2).lines] == ["line 2"] * 2
    assert [line.text for line in log.numbered(1999, 2).lines] == ["line 1", "line 2"]


def test_what_is_not_there_is_missing(job: Recorded, records: Records) -> None:
    with pytest.raises(MissingError):
        records.job(job.ref)
    with pytest.raises(RecordsError):
        records.pictures(job.ref)
