"""What a job's status says, as values: each function returns the next status, and touches nothing.

Times are seconds since 1970.
"""

from __future__ import annotations

import math
from typing import Any

from sihl_api.status import Condition, ConditionType, Obstacle, Phase, Progress
from sihl_api.status import TrainingJobStatus as Status
from sihl_api.times import rfc3339
from sihl_operator.conditions import as_reason, condition, with_condition, without_condition
from sihl_operator.endings import Ending, Verdict
from sihl_operator.queues import refusal
from sihl_operator.reports import lies_at, whole, with_status
from sihl_operator.views import JobView, PodView, pod_name

NOT_CREATED = "PodNotCreated"
NOT_FETCHED = ("NotFetched", "The dataset is not fetched yet.")
"""Why the dataset is not there, while nothing is in the way."""

_SINCE = "In the way since"
_WARNINGS = " Warnings: "


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
        progress=whole(job.status.progress),
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


# --- ended -----------------------------------------------------------------------------------


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
    return stopped(with_status(job, status), text, now, saved=False)


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
        value, reason, text = True, "Saved", lies_at(checkpoint)
    else:
        value, reason = True, "Earlier"
        text = "The stop itself saved nothing more. " + lies_at(checkpoint)
    return with_condition(job, status, ConditionType.CHECKPOINT_SAVED, value, reason, text, now)
