"""What a pod's own word on its progress means for its job. Pure."""

from __future__ import annotations

from sihl_api.runtime import RECORD_NOT_WRITABLE, ProgressReport
from sihl_api.trainingjob import ConditionType
from sihl_operator import status
from sihl_operator.decision import NOTHING, Decision, Notice
from sihl_operator.views import JobView, PodView


def reported(job: JobView, pod: PodView, report: ProgressReport, now: float) -> Decision:
    """The status with what is news, and an Event where the record is lost to it, or found again."""
    new = status.with_report(job, pod, report, now)
    if status.as_json(new) == status.as_json(job.status):
        return NOTHING
    return Decision(status=new, notice=_on_record(job.status, new))


def _on_record(before: status.Status, after: status.Status) -> Notice | None:
    kind = ConditionType.RECORD_WRITABLE
    was, found = status.condition(before, kind), status.condition(after, kind)
    if found is None or (was is not None and was.reason == found.reason):
        return None
    lost = found.status == "False"
    return Notice(RECORD_NOT_WRITABLE if lost else kind, found.message, warning=lost)
