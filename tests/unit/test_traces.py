"""A job is one trace over all its attempts; who takes it can neither slow nor end a job."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sihl_api.runtime import Env, ExitCode
from sihl_api.times import rfc3339
from sihl_api.traces import Span, attempt_id, job_id, trace_id, traces_to
from sihl_operator.settings import Settings, read_settings
from sihl_operator.spans import spans_of
from sihl_operator.views import JobView
from sihl_trainer.errors import BadData
from sihl_trainer.spans import PodSpans, fetch_traced
from tests.support.objects import NOW, Raw, job
from tests.support.otlp import Collector, collecting
from tests.support.pod import Pod
from tests.support.s3 import S3Server
from tests.unit.test_operator_pod import containers, rendered

UID = "01234567-89ab-cdef-0123-456789abcdef"
CREATED = rfc3339(NOW - 100)
STARTED = {"startedAt": rfc3339(NOW - 40)}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


def hexadecimal(number: int) -> str:
    return f"{number:016x}"


# --- what the operator tells -----------------------------------------------------------------


def at(phase: str | None, **status: Any) -> JobView:
    return job(phase=phase, created=CREATED, status={**STARTED, **status})


def told(before: JobView, after: JobView, waited: float = 0) -> list[tuple[str, float, str]]:
    """Names, seconds and errors."""
    spans = spans_of(before, after, NOW, waited)
    return [(span.name, span.ended - span.began, span.error) for span in spans]


def ended(reason: str, kind: str) -> Raw:
    when = {"lastTransitionTime": CREATED}
    return {"conditions": [{"type": kind, "status": "True", "reason": reason, **when}]}


def test_the_first_wait_is_from_submission_and_later_ones_as_long_as_they_were_seen() -> None:
    assert told(at("Queued"), at("Starting")) == [("queue", 100, "")]
    again = at("Queued", attempt=1), at("Starting", attempt=2)
    assert told(*again, waited=7) == [("queue", 7, "")]


def test_progress_and_waiting_end_nothing() -> None:
    for before, after in (("Running", "Running"), ("Starting", "Running"), (None, "Queued")):
        assert told(at(before), at(after)) == []


def test_an_end_tells_of_the_attempt_and_of_the_whole_job() -> None:
    done = at("Succeeded", attempt=1, **ended("Succeeded", "Complete"))
    assert told(at("Running"), done) == [("attempt 1", 40, ""), ("job", 100, "")]
    lost = at("Failed", attempt=1, **ended("LossNotFinite", "Failed"))
    errors = [("attempt 1", 40, "LossNotFinite"), ("job", 100, "LossNotFinite")]
    assert told(at("Running"), lost) == errors


def test_a_stop_is_the_attempts_end_without_error_and_not_the_jobs() -> None:
    assert told(at("Stopping"), at("Stopped", attempt=1)) == [("attempt 1", 40, "")]


def test_what_is_tried_again_is_an_error_where_it_counts() -> None:
    crash = at("Queued", attempt=1, **ended("Crashed", "Admitted"))
    assert told(at("Running"), crash) == [("attempt 1", 40, "Crashed")]
    drained = {"reason": "Disrupted", "since": CREATED, "attempts": 1}
    assert told(at("Running"), at("Queued", attempt=1, obstacle=drained)) == [("attempt 1", 40, "")]


def test_all_spans_of_a_job_are_within_its_own_and_only_that_is_a_root() -> None:
    first = spans_of(at("Queued"), at("Starting"), NOW, 0)
    last = spans_of(at("Running"), at("Succeeded", attempt=1), NOW, 0)
    roots = {span.name: span.within for span in (*first, *last)}
    assert roots == {"queue": job_id("uid-job"), "attempt 1": job_id("uid-job"), "job": 0}


# --- on their way ----------------------------------------------------------------------------


def test_a_trace_is_looked_up_by_the_jobs_uid(collector: Collector) -> None:
    traces = traces_to(collector.endpoint, "sihl-operator")
    traces.tell(Span("job", UID, NOW, NOW + 3.5, job_id(UID), attributes={"sihl.job": "a"}))
    traces.close(30)
    (span,) = collector.spans
    assert span.trace == UID.replace("-", "") == f"{trace_id(UID):032x}"
    assert (span.id, span.parent) == (hexadecimal(job_id(UID)), "")
    assert (span.service, span.attributes) == ("sihl-operator", {"sihl.job": "a"})
    assert span.ended - span.began == pytest.approx(3.5)


def test_a_collector_that_is_silent_costs_nobody_anything_and_its_spans_are_given_up() -> None:
    with closing(socket.create_server(("127.0.0.1", 0), backlog=1)) as silent:
        traces = traces_to(f"http://127.0.0.1:{silent.getsockname()[1]}", "sihl-operator")
        began = time.monotonic()
        for _ in range(10_000):
            traces.tell(Span("queue", UID, NOW, NOW))
        traces.close(0.2)
        assert time.monotonic() - began < 20, "ten thousand answers would take longer"


def test_what_cannot_be_sent_is_lost_without_an_error(collector: Collector) -> None:
    traces = traces_to(collector.endpoint, "sihl-operator")
    traces.tell(Span("queue", UID, float("nan"), NOW))
    traces.tell(Span("queue", UID, NOW, NOW - 5))
    traces.close(30)
    assert [span.ended - span.began for span in collector.spans] == [0]


def test_where_nothing_is_traced_nothing_of_opentelemetry_is_imported() -> None:
    program = (
        "import sys, sihl_operator.main, sihl_trainer.train, sihl_trainer.fetch.main\n"
        "from sihl_api.traces import traces_to\n"
        "traces_to('', 'sihl-operator').close(1)\n"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.mark.parametrize("wrong", ["collector:4318", "ftp://c", "http://a b", "http://c?x=1"])
def test_an_endpoint_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="must be a URL"):
        read_settings({"SIHL_OPERATOR_TRACES_ENDPOINT": wrong})


def test_pods_are_told_of_the_collector_where_there_is_one() -> None:
    found = [
        [v["value"] for c in containers(rendered(s)) for v in c["env"] if v["name"] == TRACES]
        for s in (Settings(), Settings(traces_endpoint="http://c:4318"))
    ]
    assert found == [[], ["http://c:4318"] * 2]


TRACES = Env.TRACES_ENDPOINT

# --- what a pod tells ------------------------------------------------------------------------


def test_a_real_attempts_validations_are_within_the_attempt(
    s3: S3Server, folder: Path, collector: Collector
) -> None:
    pod = Pod(folder, s3, f"job-{uuid.uuid4().hex[:8]}", changes={TRACES: collector.endpoint})
    with pod.start(2, steps=20) as attempt:
        assert attempt.end()[0] is ExitCode.SUCCEEDED, attempt.output
    found = collector.named("validation")
    assert found
    for span in found:
        assert (span.service, span.trace) == ("sihl-trainer", f"{trace_id(pod.uid):032x}")
        assert span.parent == hexadecimal(attempt_id(pod.uid, 2))
        assert (span.attributes["sihl.job"], span.attributes["sihl.attempt"]) == (pod.name, 2)
        assert "sihl.metric.boxes/map" in span.attributes


def test_a_collector_that_is_away_changes_no_attempts_end(s3: S3Server, folder: Path) -> None:
    nowhere = {TRACES: "http://127.0.0.1:1"}
    pod = Pod(folder, s3, f"job-{uuid.uuid4().hex[:8]}", changes=nowhere)
    with pod.start(1, steps=20) as attempt:
        assert attempt.end()[0] is ExitCode.SUCCEEDED, attempt.output
    assert "Traceback" not in attempt.output


def test_a_validation_lasts_from_where_it_began(s3: S3Server, folder: Path) -> None:
    heard: list[Span] = []

    class Traces:
        def tell(self, span: Span) -> None:
            heard.append(span)

        def close(self, seconds: float) -> None: ...

    now = [NOW]
    spans = PodSpans(Traces(), Pod(folder, s3, "job").reference, 1, lambda: now[0])
    for stage in ("Training", "Validating", "Validating"):
        spans.stage(stage)
        now[0] += 10
    spans.validated(7, {"boxes/map": 0.5})
    (span,) = heard
    assert (span.began, span.ended) == (NOW + 10, NOW + 30)


def test_a_fetch_tells_why_it_failed(s3: S3Server, folder: Path, collector: Collector) -> None:
    reference = replace(Pod(folder, s3, "job"), uid=UID).reference
    environ = {TRACES: collector.endpoint, Env.ATTEMPT: "3"}
    with pytest.raises(BadData), fetch_traced(environ, reference, "train"):
        raise BadData("DatasetEmpty", "there is nothing")
    with fetch_traced(environ, reference, "validation"):
        pass
    assert {(span.attributes["sihl.split"], span.error) for span in collector.spans} == {
        ("train", "DatasetEmpty"), ("validation", ""),
    }  # fmt: skip
    assert {span.parent for span in collector.spans} == {hexadecimal(attempt_id(UID, 3))}
