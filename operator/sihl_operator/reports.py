"""What a job's pod says of its progress, and at its end, and what that means for the job. Pure."""

from __future__ import annotations

from dataclasses import replace

from sihl_api.runtime import RECORD_NOT_WRITABLE, ProgressReport, RecordReport, Result
from sihl_api.status import CheckpointStatus, ConditionType, Progress
from sihl_api.status import TrainingJobStatus as Status
from sihl_operator.conditions import condition, with_condition, without_condition
from sihl_operator.decision import NOTHING, Decision, Notice
from sihl_operator.patches import as_json
from sihl_operator.views import JobView, PodView

_TRIED_AGAIN = (
    "It is tried again as long as the pod lives; what is not written when it ends is lost."
)


def reported(job: JobView, pod: PodView, report: ProgressReport, now: float) -> Decision:
    """The status with what is news, and an Event where the record is lost to it, or found again."""
    new = with_report(job, pod, report, now)
    if as_json(new) == as_json(job.status):
        return NOTHING
    return Decision(status=new, notice=_on_record(job.status, new))


def _on_record(before: Status, after: Status) -> Notice | None:
    kind = ConditionType.RECORD_WRITABLE
    was, found = condition(before, kind), condition(after, kind)
    if found is None or (was is not None and was.reason == found.reason):
        return None
    lost = found.status == "False"
    return Notice(RECORD_NOT_WRITABLE if lost else kind, found.message, warning=lost)


def with_report(job: JobView, pod: PodView, report: ProgressReport, now: float) -> Status:
    """The status with what the pod says of its progress."""
    status = job.status.model_copy(update={"node_name": pod.node or job.status.node_name})
    status = status.model_copy(
        update={
            "progress": _merged(status.progress, report.progress),
            "metrics": report.metrics or status.metrics,
        }
    )
    status = _with_checkpoint(job, status, report.checkpoint, now)
    record = report.record
    if record is not None and not record.writable:
        record = record.model_copy(update={"message": f"{record.message} {_TRIED_AGAIN}"})
    return _with_record(job, status, record, now)


def _with_record(job: JobView, status: Status, record: RecordReport | None, now: float) -> Status:
    """The status with whether the record can be written, once it could not be."""
    kind = ConditionType.RECORD_WRITABLE
    if record is None or (record.writable and condition(status, kind) is None):
        return status
    text = "The record can be written again." if record.writable else record.message
    return with_condition(job, status, kind, record.writable, record.reason, text, now)


def _merged(old: Progress | None, new: Progress) -> Progress | None:
    """New values over old ones: a fetch that is over keeps its bytes, all of them."""
    if new.dataset_total_bytes is None:
        old = whole(old)
    values = {**(old.model_dump() if old else {}), **new.model_dump(exclude_none=True)}
    return Progress(**values) if any(v is not None for v in values.values()) else None


def whole(progress: Progress | None) -> Progress | None:
    """The progress once the fetch is over, of whose last bytes nobody may have asked."""
    if progress is None or progress.dataset_total_bytes is None:
        return progress
    return progress.model_copy(update={"dataset_bytes": progress.dataset_total_bytes})


def _with_checkpoint(
    job: JobView, status: Status, new: CheckpointStatus | None, now: float
) -> Status:
    """The status with the checkpoint, unless an attempt knows only an earlier one."""
    old = status.checkpoint
    if new is None or (old is not None and old.step >= new.step):
        return status
    status = status.model_copy(update={"checkpoint": new, "obstacle": None})
    return with_condition(
        job, status, ConditionType.CHECKPOINT_SAVED, True, "Saved", lies_at(new), now
    )


def lies_at(checkpoint: CheckpointStatus) -> str:
    """Where a checkpoint is, for a person."""
    return f"A checkpoint of step {checkpoint.step} lies at {checkpoint.uri}."


def _with_result(job: JobView, status: Status, result: Result | None, now: float) -> Status:
    """The status with what the attempt said last."""
    if result is None:
        return status
    step, progress = result.step, status.progress
    if step is not None:
        progress = whole(progress)
        known = progress.model_dump() if progress else {}
        maximum = known.get("max_steps")
        known |= {"step": step, "percent": min(100, 100 * step // maximum) if maximum else None}
        progress = Progress(**known)
    status = status.model_copy(
        update={
            "progress": progress,
            "metrics": result.metrics or status.metrics,
            "model": result.model or status.model,
        }
    )
    status = without_condition(status, ConditionType.RECORD_WRITABLE)
    if result.reason == RECORD_NOT_WRITABLE:
        lost = RecordReport(writable=False, reason=result.reason, message=result.message)
        status = _with_record(job, status, lost, now)
    return _with_checkpoint(job, status, result.checkpoint, now)


def after_attempt(job: JobView, result: Result | None, now: float) -> JobView:
    """The job as if its status already held what the attempt said last."""
    status = _with_result(job, job.status, result, now)
    return with_status(job, status)


def with_status(job: JobView, status: Status) -> JobView:
    """The job as if its status were another."""
    return replace(job, raw_status=as_json(status)).knowing(job)
