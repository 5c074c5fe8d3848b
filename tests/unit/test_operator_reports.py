from __future__ import annotations

import pytest

from sihl_api.runtime import ExitCode, ProgressReport, RecordReport, Result
from sihl_api.status import Condition, ConditionType, Phase, Progress
from sihl_operator import status as say
from sihl_operator.conditions import condition
from sihl_operator.decision import NOTHING, Decision
from sihl_operator.lifecycle import decide
from sihl_operator.moment import Moment
from sihl_operator.patches import as_json
from sihl_operator.reports import reported
from sihl_operator.settings import Settings
from sihl_operator.views import JobView
from tests.support.objects import NOW, RUNNING, ended, job, pod

LOST = RecordReport(writable=False, reason="StoreAccessRefused", message="Correct the Secret.")
AWAY = RecordReport(writable=False, reason="StoreUnavailable", message="It does not answer.")
WRITABLE = RecordReport(writable=True)
POD = pod(containers={"trainer": RUNNING})


def told(record: RecordReport | None, of: JobView | None = None, at: float = NOW) -> Decision:
    report = ProgressReport(stage="Training", progress=Progress(step=3), record=record)
    return reported(of or job(phase="Running"), POD, report, at)


def after(decision: Decision) -> JobView:
    assert decision.status is not None
    return job(phase="Running", status=as_json(decision.status))


def on_record(decision: Decision) -> Condition | None:
    assert decision.status is not None
    return condition(decision.status, ConditionType.RECORD_WRITABLE)


@pytest.mark.parametrize("record", [None, WRITABLE])
def test_of_a_record_that_is_well_nothing_is_said(record: RecordReport | None) -> None:
    decision = told(record)
    assert on_record(decision) is None
    assert decision.notice is None
    assert told(record, after(decision)) == NOTHING


def test_a_record_that_cannot_be_written_is_a_condition_and_one_event() -> None:
    decision = told(LOST)
    found = on_record(decision)
    assert found is not None
    assert (found.status, found.reason) == ("False", "StoreAccessRefused")
    assert decision.notice is not None
    assert (decision.notice.reason, decision.notice.warning) == ("RecordNotWritable", True)
    assert decision.notice.message == found.message
    assert found.message.startswith("Correct the Secret. It is tried again")
    assert told(LOST, after(decision), NOW + 10) == NOTHING


def test_another_reason_is_another_event_but_the_record_is_lost_since_the_first() -> None:
    decision = told(AWAY, after(told(LOST)), NOW + 100)
    found, first = on_record(decision), on_record(told(LOST))
    assert found is not None
    assert first is not None
    assert decision.notice is not None
    assert found.last_transition_time == first.last_transition_time


def test_a_record_that_can_be_written_again_is_told_as_well() -> None:
    decision = told(WRITABLE, after(told(LOST)))
    found = on_record(decision)
    assert found is not None
    assert found.status == "True"
    assert decision.notice is not None
    assert (decision.notice.reason, decision.notice.warning) == ("RecordWritable", False)


@pytest.mark.parametrize(
    ("code", "reason", "status"),
    [
        (ExitCode.STOPPED, "Stopped", None),
        (ExitCode.STOPPED_WITHOUT_CHECKPOINT, "RecordNotWritable", "False"),
    ],
)
def test_what_an_attempt_could_not_save_at_its_end_stands_until_the_next_begins(
    code: ExitCode, reason: str, status: str | None
) -> None:
    result = Result(reason=reason, message="steps 1 to 9 are lost")
    over = pod(phase="Failed", containers={"trainer": ended(code, result)})
    stopping = job(phase="Stopping", suspend=True, status=as_json(after(told(LOST)).status))
    decision = decide(stopping, over, Moment(NOW, Settings()))
    found = on_record(decision)
    assert decision.status is not None
    assert decision.status.phase is Phase.STOPPED
    assert (found.status if found else None) == status
    again = say.starting(job(status=as_json(decision.status)), NOW)
    assert condition(again, ConditionType.RECORD_WRITABLE) is None
