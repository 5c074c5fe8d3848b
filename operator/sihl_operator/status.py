"""What a job's status says, as values: each function returns the next status, and touches nothing.

Times are seconds since 1970. A condition's transition time moves only when its status changes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from sihl_api.reading import is_ours
from sihl_api.runtime import RECORD_NOT_WRITABLE, ProgressReport, RecordReport, Result
from sihl_api.text import shortened
from sihl_api.times import rfc3339
from sihl_api.trainingjob import (
    CheckpointStatus,
    Condition,
    ConditionType,
    Obstacle,
    Phase,
    Progress,
    TrainingJobStatus,
)
from sihl_operator.endings import Ending, Verdict
from sihl_operator.queues import refusal
from sihl_operator.views import JobView, PodView, pod_name

MESSAGE_LIMIT = 2000
"""Of a condition's message, in characters: a person reads it in `kubectl describe`."""

NOT_CREATED = "PodNotCreated"
NOT_FETCHED = ("NotFetched", "The dataset is not fetched yet.")
"""Why the dataset is not there, while nothing is in the way."""

_SINCE = "In the way since"
_TRIED_AGAIN = (
    "It is tried again as long as the pod lives; what is not written when it ends is lost."
)
_WARNINGS = " Warnings: "

_ORDER = {kind.value: place for place, kind in enumerate(ConditionType)}
Status = TrainingJobStatus
_REASON_LIMIT = 100


def condition(status: Status, kind: ConditionType) -> Condition | None:
    """The condition of that type, if the status has it."""
    return next((c for c in status.conditions or [] if c.type == kind), None)


def as_reason(text: str) -> str:
    """A text as a condition's or an Event's reason: one CamelCase word, whoever wrote it."""
    word = re.sub(r"[^A-Za-z0-9]", "", text)[:_REASON_LIMIT]
    return word if word[:1].isalpha() else f"Unspecified{word}"


def with_condition(
    job: JobView,
    status: Status,
    kind: ConditionType,
    value: bool | None,
    reason: str,
    message: str,
    now: float,
) -> Status:
    """The status with one condition set; None for Unknown."""
    text, message = "Unknown" if value is None else str(value), shortened(message, MESSAGE_LIMIT)
    reason = as_reason(reason)
    before, told = condition(status, kind), (text, reason, message, job.generation)
    if before and told == (
        before.status, before.reason, before.message, before.observed_generation
    ):  # fmt: skip
        return status
    moved = before.last_transition_time if before and before.status == text else rfc3339(now)
    new = Condition.model_validate(
        {
            "type": kind.value,
            "status": text,
            "reason": reason,
            "message": message,
            "last_transition_time": moved,
            "observed_generation": job.generation,
        }
    )
    others = [c for c in status.conditions or [] if c.type != kind]
    return status.model_copy(update={"conditions": sorted([*others, new], key=_place)})


def _place(told: Condition) -> int:
    """Among the others: those of another release, or of somebody else, come last."""
    return _ORDER.get(told.type, len(_ORDER))


def without_condition(status: Status, *kinds: ConditionType) -> Status:
    """The status without the conditions of those types."""
    left = [c for c in status.conditions or [] if c.type not in kinds]
    return status.model_copy(update={"conditions": left or None})


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """What turns `old` into `new` by JSON merge patch (RFC 7386): removed keys are null."""
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            inner = merge_patch(before, value)
            if inner:
                patch[key] = inner
        elif key not in old or before != value:
            patch[key] = value
    return patch


def patch(job: JobView, new: Status) -> dict[str, Any]:
    """What makes the job's status the new one, by JSON merge patch; empty where nothing does.

    What this release does not know of the status, or cannot read, stays as it stands.
    """
    changes = merge_patch(as_json(job.status), as_json(new))
    if "conditions" not in changes:
        return changes
    ours = [each for each in changes["conditions"] or () if is_ours(each["type"])]
    others = [
        each for each in job.stored_status.get("conditions") or () if not is_ours(each["type"])
    ]
    return {**changes, "conditions": [*ours, *others] or None}


def as_json(status: Status) -> dict[str, Any]:
    """The status as the API server stores it."""
    dumped: dict[str, Any] = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dumped


def _next(job: JobView, now: float, **changes: Any) -> Status:
    """The job's status with changes, and what every write sets."""
    status = job.status
    return status.model_copy(
        update={
            "observed_generation": job.generation,
            "submitted_at": status.submitted_at or rfc3339(job.created or now),
            **changes,
        }
    )


# --- waiting ---------------------------------------------------------------------------------


def queued(job: JobView, position: int | None, reason: str, message: str, now: float) -> Status:
    """Waits in its queue, and why."""
    status = _next(
        job,
        now,
        phase=Phase.QUEUED,
        queue=job.wanted_queue,
        queue_position=position,
        pod_name=None,
        node_name=None,
        started_at=None,
        running_at=None,
        ended_at=None,
    )
    status = accepted(job, status, now)
    return with_condition(job, status, ConditionType.ADMITTED, False, reason, message, now)


def accepted(job: JobView, status: Status, now: float) -> Status:
    """Whether it can be queued, and what is odd about it: a warning that stays with the job."""
    fault, odd = refusal(job), job.oddities
    reason, message = fault or (
        "ValidButOdd" if odd else "Valid",
        " ".join(["The job can be queued.", *(f"Warning: {each}" for each in odd)]),
    )
    return with_condition(job, status, ConditionType.ACCEPTED, not fault, reason, message, now)


def refused(job: JobView, reason: str, message: str, now: float) -> Status:
    """Not accepted: waits for the user to correct it."""
    status = _next(job, now, phase=Phase.QUEUED, queue_position=None, queue=None)
    for kind in (ConditionType.ACCEPTED, ConditionType.ADMITTED):
        status = with_condition(job, status, kind, False, reason, message, now)
    return status


def obstacle(job: JobView, reason: str, now: float, attempts: int = 0) -> Obstacle:
    """What is in the job's way: as before, or since now.

    Args:
        job: With its status as it stands.
        reason: The condition's.
        now: Seconds since 1970.
        attempts: How many more it has cost.
    """
    before, reason = job.status.obstacle, as_reason(reason)
    if before is None or before.reason != reason:
        before = Obstacle(reason=reason, since=rfc3339(now), attempts=0)
    return before.model_copy(update={"attempts": before.attempts + attempts})


def requeued(
    job: JobView,
    reason: str,
    message: str,
    now: float,
    *,
    failures: int | None = None,
    retry_in: float | None = None,
    obstacle: Obstacle | None = None,
) -> Status:
    """Back in its queue after an attempt, to resume from its last checkpoint."""
    status = queued(job, None, reason, message, now)
    progress = status.progress
    return without_condition(
        status.model_copy(
            update={
                "failures": failures if failures is not None else status.failures,
                "retry_after": None if retry_in is None else rfc3339(math.ceil(now + retry_in)),
                "obstacle": obstacle,
                "progress": progress
                and Progress(
                    step=progress.step, max_steps=progress.max_steps, percent=progress.percent
                ),
            }
        ),
        ConditionType.DATASET_READY,
    )


# --- active ----------------------------------------------------------------------------------


def starting(job: JobView, now: float) -> Status:
    """Admitted: the next attempt begins, and its pod is to be created."""
    attempt = job.attempt + 1
    queue = job.wanted_queue
    status = _next(
        job,
        now,
        phase=Phase.STARTING,
        queue=queue,
        attempt=attempt,
        queue_position=None,
        retry_after=None,
        pod_name=pod_name(queue),
        node_name=None,
        started_at=rfc3339(now),
        running_at=None,
        ended_at=None,
    )
    status = accepted(job, without_condition(status, ConditionType.RECORD_WRITABLE), now)
    for kind, value, reason, message in (
        (ConditionType.ADMITTED, True, "Admitted", f"Attempt {attempt} has the queue {queue!r}."),
        (ConditionType.DATASET_READY, False, *NOT_FETCHED),
    ):
        status = with_condition(job, status, kind, value, reason, message, now)
    return status


def not_fetched(job: JobView, now: float) -> Status:
    """Starting, and nothing is in the way."""
    return with_condition(
        job, _next(job, now), ConditionType.DATASET_READY, False, *NOT_FETCHED, now
    )


def hindered(job: JobView, end: Ending, now: float) -> Status:
    """Starting, but something is in the way by which the attempt ends if it lasts."""
    status, text = _next(job, now), end.message
    if end.verdict is Verdict.INTERRUPTED:
        met = obstacle(job, end.reason, now)
        status, text = _next(job, now, obstacle=met), f"{text} {since(met)}"
    return with_condition(job, status, ConditionType.DATASET_READY, False, end.reason, text, now)


def lacking(job: JobView, end: Ending, now: float) -> Status:
    """What is to be done for the job is not, since the operator's own role does not let it."""
    if job.phase is Phase.STARTING:
        return hindered(job, end, now)
    told = condition(job.status, ConditionType.ADMITTED)
    value = told is not None and told.status == "True"
    kind = ConditionType.ADMITTED
    return with_condition(job, _next(job, now), kind, value, end.reason, end.message, now)


def since(met: Obstacle, failures: int = 0, retries: int = 0) -> str:
    """Since when an obstacle is met, and as which failure of how many, for a person."""
    if failures:
        return f"{_SINCE} {met.since}; failure {failures}, to be retried up to {retries} times."
    return f"{_SINCE} {met.since}; the job waits, and no failure is counted."


def cause(told: Condition) -> str:
    """What is in the way, without since when."""
    return told.message.partition(f" {_SINCE}")[0]


def running(job: JobView, pod: PodView, now: float) -> Status:
    """The trainer's container runs: the dataset is there, and what the fetch says of it."""
    met = job.status.obstacle
    status = _next(
        job,
        now,
        phase=Phase.RUNNING,
        node_name=pod.node or None,
        running_at=rfc3339(now),
        progress=_whole(job.status.progress),
        obstacle=met if met and met.attempts else None,  # one that cost nothing is passed
    )
    reason, message = "Fetched", "The dataset is on the node's disk, checked."
    if warnings := pod.warnings:
        reason, message = "FetchedWithWarnings", f"{message}{_WARNINGS}{'; '.join(warnings)}."
    return with_condition(job, status, ConditionType.DATASET_READY, True, reason, message, now)


def stopping(job: JobView, pod: PodView) -> Status:
    """The pod was asked to end; it saves a checkpoint first."""
    return job.status.model_copy(
        update={
            "phase": Phase.STOPPING,
            "observed_generation": job.generation,
            "node_name": pod.node or job.status.node_name,
        }
    )


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
        old = _whole(old)
    values = {**(old.model_dump() if old else {}), **new.model_dump(exclude_none=True)}
    return Progress(**values) if any(v is not None for v in values.values()) else None


def _whole(progress: Progress | None) -> Progress | None:
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
        job, status, ConditionType.CHECKPOINT_SAVED, True, "Saved", _saved(new), now
    )


def _saved(checkpoint: CheckpointStatus) -> str:
    return f"A checkpoint of step {checkpoint.step} lies at {checkpoint.uri}."


# --- ended -----------------------------------------------------------------------------------


def _with_result(job: JobView, status: Status, result: Result | None, now: float) -> Status:
    """The status with what the attempt said last."""
    if result is None:
        return status
    step, progress = result.step, status.progress
    if step is not None:
        progress = _whole(progress)
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
    return _with_status(job, status)


def _with_status(job: JobView, status: Status) -> JobView:
    from dataclasses import replace

    return replace(job, raw_status=as_json(status)).knowing(job)


def ended(
    job: JobView, phase: Phase, kind: ConditionType | None, reason: str, message: str, now: float
) -> Status:
    """Succeeded, Stopped or Failed; the node's copy of the dataset goes with the pod."""
    status = job.status
    progress = status.progress and status.progress.model_copy(
        update={"remaining": None, "images_per_second": None}
    )
    held = job.active
    status = _next(
        job,
        now,
        phase=phase,
        queue=status.queue if held else job.wanted_queue,
        ended_at=rfc3339(now),
        queue_position=None,
        retry_after=None,
        obstacle=None,
        progress=progress,
    )
    if (told := condition(status, ConditionType.DATASET_READY)) is not None:
        _, mark, warnings = told.message.partition(_WARNINGS)
        status = with_condition(
            job, status, ConditionType.DATASET_READY, False, "Released",
            f"The pod has ended, and its copy of the dataset with it.{mark}{warnings}", now,
        )  # fmt: skip
    if condition(status, ConditionType.ACCEPTED) is None:
        status = accepted(job, status, now)
    status = with_condition(job, status, ConditionType.ADMITTED, False, reason, message, now)
    if kind is not None:
        status = with_condition(job, status, kind, True, reason, message, now)
    return status


def resumable(job: JobView, now: float) -> Status:
    """Failed, and now Stopped by its user: what it counted is over, its checkpoint stands."""
    status = without_condition(
        job.status.model_copy(update={"failures": None}), ConditionType.FAILED
    )
    text = "The job had failed: set spec.suspend to false to resume from its checkpoint."
    return stopped(_with_status(job, status), text, now, saved=False)


def _kept(job: JobView) -> str:
    whose = ", ".join(job.finalizers) or "those of its deletion"
    return (
        f"The job was deleted, and is kept by its finalizers: {whose}. Whoever set them has to "
        "remove them."
    )


def stopped(
    job: JobView, message: str, now: float, *, saved: bool | None, missing: str = "NoStepYet"
) -> Status:
    """Stopped as the user asked, by suspending the job or by deleting it.

    Args:
        job: With its last result already in its status.
        message: How the attempt ended.
        now: Seconds since 1970.
        saved: Whether the stop saved its state; None when nobody saw it end.
        missing: The reason where there is no checkpoint at all.
    """
    reason = "Suspended"
    if job.deleting:
        reason, message = "Deleted", f"{message} {_kept(job)}"
    status = ended(job, Phase.STOPPED, None, reason, message, now)
    checkpoint = status.checkpoint
    if saved is None:
        text = "The pod vanished before it could say whether it saved a checkpoint."
        if checkpoint:
            text += f" The last known is of step {checkpoint.step}."
        value, reason = None, "PodVanished"
    elif checkpoint is None:
        value, reason = False, missing
        text = "There is no checkpoint: the job was stopped before its first step was saved."
    elif saved:
        value, reason, text = True, "Saved", _saved(checkpoint)
    else:
        value, reason = True, "Earlier"
        text = "The stop itself saved nothing more. " + _saved(checkpoint)
    return with_condition(job, status, ConditionType.CHECKPOINT_SAVED, value, reason, text, now)
