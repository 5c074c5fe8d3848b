from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sihl_api.status import Phase
from sihl_operator import status as say
from sihl_operator.decision import Decision
from sihl_operator.judges import complete
from sihl_operator.lifecycle import decide
from sihl_operator.moment import Moment
from sihl_operator.patches import as_json, patch
from sihl_operator.settings import Settings
from sihl_operator.views import JobView, PodView
from tests.simulation.server import merged
from tests.support.kstatus import Verdict, verdict, waited_for
from tests.support.objects import NOW, RUNNING, Raw, ended, job, pod, waiting

MOMENT = Moment(NOW, Settings())
SAVED = {"step": 7, "uri": "s3://b/c/7", "savedAt": "2027-01-15T08:00:00Z"}
TRAINING = pod(containers={"trainer": RUNNING})
FETCHING = pod(phase="Pending", init={"fetch-train": RUNNING})
LACKING = pod(phase="Pending", init={"fetch-train": waiting("CreateContainerConfigError", "x")})
OTHERS: Raw = {
    "type": "Synced", "status": "True", "reason": "Done", "message": "as ever",
    "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 99, "severity": "Info",
}  # fmt: skip


def written(before: JobView, decision: Decision, **change: Any) -> JobView:
    """The job once the decision's status is written, as the API server then has it."""
    assert decision.status is not None
    changes = patch(before, complete(before, decision.status, NOW))
    return edited(before, merged(dict(before.raw["status"]), changes), generations=0, **change)


def edited(
    before: JobView, status: Raw | None = None, generations: int = 1, **spec: Any
) -> JobView:
    """The job, after its user has changed the spec, or somebody else the status."""
    metadata = dict(before.raw["metadata"])
    metadata["generation"] += generations
    given = before.raw["status"] if status is None else status
    spec = {**before.raw["spec"], **spec}
    return JobView({**before.raw, "metadata": metadata, "spec": spec, "status": given})


def reason(of: JobView, kind: str) -> str | None:
    told = {c["type"]: c["reason"] for c in of.raw["status"].get("conditions") or ()}
    return told.get(kind)


# --- the generation --------------------------------------------------------------------------


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("there", [None, TRAINING, FETCHING, LACKING])
def test_a_spec_that_changes_is_seen_in_every_phase_by_one_write(
    phase: Phase, there: PodView | None
) -> None:
    suspend = phase is Phase.STOPPED
    before = edited(job(phase=phase.value, suspend=suspend), generations=0)
    moment = replace(MOMENT, creating=there is None and phase.active)
    for _ in range(3):  # until it is as it should be, whatever else there was to tell
        decision = decide(before, there, moment)
        if decision.status is not None:
            before = written(before, decision)
    assert decide(before, there, moment).status is None
    changed = edited(before, priority=5)
    told = decide(changed, there, moment)
    after = written(changed, told)
    assert after.stored_status["observedGeneration"] == changed.generation
    of = {c["observedGeneration"] for c in after.stored_status.get("conditions") or ()}
    assert of <= {changed.generation}
    assert after.phase is before.phase
    assert decide(after, there, moment).status is None


def test_what_only_tells_the_generation_may_wait_and_what_must_be_done_at_once_may_not() -> None:
    over = edited(job(phase="Succeeded"), priority=5)
    assert decide(over, None, MOMENT).refresh
    begins = decide(edited(job(phase="Starting")), None, replace(MOMENT, creating=True))
    assert begins.create
    assert begins.status is not None
    assert not begins.refresh


def test_a_wait_for_an_end_outlasts_a_resume_and_not_a_priority_that_comes_after_the_end() -> None:
    over = job(phase="Succeeded")
    assert waited_for(over.raw, "Finished")
    assert waited_for(over.raw, "finished")
    later = edited(over, priority=5)
    assert not waited_for(later.raw, "Finished"), "nobody has seen it yet"
    assert waited_for(written(later, decide(later, None, MOMENT)).raw, "Finished")
    resumed = edited(job(phase="Stopped", suspend=True), suspend=False)
    assert not waited_for(resumed.raw, "Finished"), "no moment at which it seems to have ended"
    queued = written(resumed, decide(resumed, None, MOMENT))
    assert waited_for(queued.raw, "Finished", "False")
    assert verdict(queued.raw)[0] is Verdict.CURRENT


def test_a_job_that_is_deleted_without_its_pod_is_not_written() -> None:
    raw = edited(job(phase="Succeeded")).raw
    gone = {"deletionTimestamp": "2027-01-15T08:00:00Z", "finalizers": ["orphan"]}
    orphaning = JobView({**raw, "metadata": {**raw["metadata"], **gone}})
    assert decide(orphaning, None, MOMENT).status is None


# --- what judges read ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "there", "right"),
    [
        (job(), None, Verdict.CURRENT),
        (job(phase="Queued"), None, Verdict.CURRENT),
        (job(phase="Starting"), LACKING, Verdict.CURRENT),
        (job(phase="Starting"), TRAINING, Verdict.CURRENT),
        (job(phase="Running", suspend=True), TRAINING, Verdict.CURRENT),
        (job(phase="Running"), pod(phase="Failed", containers={"trainer": ended(65)}),
         Verdict.FAILED),
        (job(phase="Stopped", suspend=False), None, Verdict.CURRENT),
        (job(annotations={"sihl.ai/queue": "No_Queue"}), None, Verdict.FAILED),
        (job(annotations={"sihl.ai/queue": "No_Queue"}, suspend=True), None, Verdict.FAILED),
        (job(training={"maxSteps": -5}), None, Verdict.FAILED),
    ],
)  # fmt: skip
def test_kstatus_takes_for_failed_what_is_refused_or_has_failed_and_nothing_else(
    before: JobView, there: PodView | None, right: Verdict
) -> None:
    after = written(before, decide(before, there, MOMENT))
    answer, message = verdict(after.raw)
    assert answer is right
    assert bool(message) is (right is Verdict.FAILED)


def test_a_refused_job_that_was_mended_is_not_stalled_any_more() -> None:
    wrong = job(annotations={"sihl.ai/queue": "No_Queue"}, suspend=True)
    stopped = written(wrong, decide(wrong, None, MOMENT))
    assert reason(stopped, "Stalled") == "InvalidQueue"
    metadata = {**stopped.raw["metadata"], "annotations": {}}
    mended = JobView({**stopped.raw, "metadata": metadata})
    after = written(mended, decide(mended, None, MOMENT))
    assert (after.phase, reason(after, "Accepted")) == (Phase.STOPPED, "Valid")
    assert reason(after, "Stalled") is None


def test_a_failed_job_is_stalled_until_its_user_resumes_it_and_finished_until_it_goes_on() -> None:
    running = job(phase="Running", status={"checkpoint": SAVED})
    bad = pod(phase="Failed", containers={"trainer": ended(65)})
    failed = written(running, decide(running, bad, MOMENT))
    assert (reason(failed, "Finished"), reason(failed, "Stalled")) == ("Failed", "BadData")
    asked = edited(failed, suspend=True)
    stopped = written(asked, decide(asked, bad, MOMENT))
    assert (reason(stopped, "Finished"), reason(stopped, "Stalled")) == ("Stopped", None)
    resumed = edited(stopped, suspend=False)
    queued = written(resumed, decide(resumed, bad, MOMENT))
    assert (queued.phase, reason(queued, "Finished")) == (Phase.QUEUED, "Resumed")
    assert waited_for(queued.raw, "Finished", "False")


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_what_ended_under_an_earlier_release_is_told_as_this_one_tells_it(phase: str) -> None:
    kind = {"Succeeded": "Complete", "Failed": "Failed"}[phase]
    told = {
        "type": kind, "status": "True", "reason": "Because", "message": "text",
        "lastTransitionTime": "2027-01-15T08:00:00Z", "observedGeneration": 1,
    }  # fmt: skip
    old = {"phase": phase, "observedGeneration": 1, "conditions": [told]}
    before = edited(job(), old, generations=0)
    decision = decide(before, None, MOMENT)
    assert decision.refresh, "thousands of them are no hurry"
    after = written(before, decision)
    assert reason(after, "Finished") == phase
    assert reason(after, "Stalled") == ("Because" if phase == "Failed" else None)
    assert decide(after, None, MOMENT).status is None


# --- what others wrote -----------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1, 9])
@pytest.mark.parametrize("phase", ["Queued", "Starting", "Running", "Stopped", "Failed"])
def test_a_condition_of_an_unknown_type_stays_as_it_is_and_comes_last(
    phase: str, place: int
) -> None:
    known = job(phase=phase, suspend=True, status=as_json(say.starting(job(), NOW)))
    status = {**known.raw["status"], "phase": phase}
    conditions = list(status["conditions"])
    conditions.insert(place, OTHERS)
    before = edited(known, {**status, "conditions": conditions}, suspend=False)
    decision = decide(before, TRAINING, MOMENT)
    after = written(before, decision)
    assert after.stored_status["conditions"][-1] == OTHERS
    assert after.stored_status["conditions"].count(OTHERS) == 1
    assert len(after.stored_status["conditions"]) > 1


@pytest.mark.parametrize(
    "odd", [{"type": "Odd"}, {"type": "Odd", "status": "Maybe", "reason": None}, {**OTHERS, "x": 1}]
)
def test_a_condition_that_this_release_cannot_even_read_is_left_alone(odd: Raw) -> None:
    before = edited(job(), {"phase": "Queued", "conditions": [odd]})
    after = written(before, decide(before, None, MOMENT))
    assert after.stored_status["conditions"][-1] == odd


def test_fields_of_a_newer_release_stay_and_cost_no_write() -> None:
    newer = {"estimate": {"cost": "3"}, "progress": {"step": 3, "eta": "1h"}, "metrics": {"a": "1"}}
    known = job(phase="Running")
    before = edited(known, {**known.raw["status"], **newer}, generations=0)
    assert decide(before, TRAINING, MOMENT).status is None
    after = written(before, decide(before, None, MOMENT))
    assert after.phase is Phase.QUEUED
    assert after.stored_status["estimate"] == {"cost": "3"}
    assert after.stored_status["progress"]["eta"] == "1h"


def test_a_spec_of_a_newer_release_runs_and_what_is_left_out_is_told() -> None:
    before = job(runner={**job().spec["runner"], "colour": {"red": 1}}, new=[1])
    after = written(before, decide(before, None, MOMENT))
    assert after.phase is Phase.QUEUED
    assert reason(after, "Accepted") == "ValidButOdd"
    text = next(c["message"] for c in after.stored_status["conditions"] if c["type"] == "Accepted")
    assert "runner.colour is a field that this release" in text
    assert "new is a field" in text


@pytest.mark.parametrize(
    ("holds", "there", "then"),
    [
        ({"Admitted": "Admitted"}, TRAINING, Phase.RUNNING),
        ({"Admitted": "Admitted"}, None, Phase.QUEUED),
        ({}, None, Phase.QUEUED),
        ({"Finished": "Cancelled"}, None, None),
        ({"Finished": "Succeeded"}, None, None),
        ({"Complete": "Completed"}, None, None),
        ({"Failed": "BadData"}, None, None),
    ],
)
def test_a_phase_of_a_newer_release_strands_nothing_and_what_has_ended_stays_so(
    holds: dict[str, str], there: PodView | None, then: Phase | None
) -> None:
    conditions = [
        {"type": kind, "status": "True", "reason": why, "observedGeneration": 1,
         "lastTransitionTime": "2027-01-15T08:00:00Z"}
        for kind, why in holds.items()
    ]  # fmt: skip
    status = {
        "phase": "Rehearsing", "attempt": 1, "queue": "cells", "podName": "cells-runner",
        "observedGeneration": 1, "conditions": conditions,
    }  # fmt: skip
    before = edited(job(), status, generations=0)
    decision = decide(before, there, MOMENT)
    if then is None:
        assert decision.status is None
        seen = edited(before)
        after = written(seen, decide(seen, there, MOMENT))
        assert after.stored_status["observedGeneration"] == 2
        assert after.stored_status["phase"] == "Rehearsing"
        assert reason(after, "Finished") == holds.get("Finished")
    else:
        assert written(before, decision).phase is then


@given(
    status=st.dictionaries(
        st.sampled_from(["phase", "attempt", "progress", "checkpoint", "retryAfter", "queue",
                         "metrics", "obstacle", "conditions", "observedGeneration", "endedAt"]),
        st.one_of(
            st.none(), st.integers(-1, 9), st.text(max_size=3), st.just({"step": "x", "uri": 3}),
            st.just([{"type": "Admitted", "status": "True"}]), st.just({"a": 1}), st.just([OTHERS]),
        ),
    )
)  # fmt: skip
def test_no_status_makes_a_job_undecidable(status: Raw) -> None:
    known = {key: value for key, value in status.items() if _may_be_stored(key, value)}
    before = edited(job(), known, generations=0)
    decision = decide(before, None, MOMENT)
    if decision.status is not None:
        written(before, decision)


def _may_be_stored(key: str, value: Any) -> bool:
    """Of the types that any release's CRD would have: a number stays one, a list a list."""
    if key == "conditions":
        return isinstance(value, list)
    if key in ("progress", "checkpoint", "metrics", "obstacle"):
        return isinstance(value, dict)
    return isinstance(value, int if key in ("attempt", "observedGeneration") else str)
