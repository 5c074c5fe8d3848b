"""What whoever waits for a job reads: the conditions that follow from the rest of its status. Pure.

kstatus (Flux, helm's --wait), `kubectl wait` and Argo CD know nothing of training. They read which
generation of the spec a status is of, and conditions by their names, and wait for ever for what
does not come. So each status that is written goes through `complete`, and one that stands is held
to it whenever its job is decided on.
"""

from __future__ import annotations

from sihl_api.reading import is_ours, knows_phase
from sihl_api.status import ConditionType, Phase
from sihl_api.status import TrainingJobStatus as Status
from sihl_operator.conditions import condition, with_condition, without_condition
from sihl_operator.status import accepted
from sihl_operator.views import JobView


def complete(job: JobView, status: Status, now: float) -> Status:
    """A status with all that follows from it, of the job's generation; itself if it has that.

    Args:
        job: As it is; its status may be another one.
        status: Its next one, or the one that it has.
        now: Seconds since 1970.
    """
    status = _of_generation(status, job.generation)
    if status.phase is job.phase and not knows_phase(job.stored_status):
        return status  # whoever knows the phase knows what follows
    if status.phase is Phase.STOPPED:
        status = accepted(job, status, now)
    return _stalled(job, _finished(job, status, now), now)


def _of_generation(status: Status, generation: int) -> Status:
    """All that is said is said of the spec as it is now; others speak for themselves."""
    before = status.conditions or []
    conditions = [
        each
        if each.observed_generation == generation or not is_ours(each.type)
        else each.model_copy(update={"observed_generation": generation})
        for each in before
    ]
    if status.observed_generation == generation and conditions == before:
        return status
    return status.model_copy(
        update={"observed_generation": generation, "conditions": conditions or None}
    )


def _finished(job: JobView, status: Status, now: float) -> Status:
    """Whether it has ended, however: one condition that serves whoever waits for an end."""
    kind = ConditionType.FINISHED
    if status.phase is not None and status.phase.ended:
        how = condition(status, ConditionType.ADMITTED)
        text = how.message if how is not None else "The job has ended."
        return with_condition(job, status, kind, True, status.phase.value, text, now)
    if condition(status, kind) is None:
        return status
    return with_condition(job, status, kind, False, "Resumed", "The job goes on.", now)


def _stalled(job: JobView, status: Status, now: float) -> Status:
    """Refused, or Failed: nothing but its user brings it on."""
    why, kind = _in_need(status), ConditionType.STALLED
    if why is not None:
        told = condition(status, why)
        if told is not None:
            return with_condition(job, status, kind, True, told.reason, told.message, now)
    return without_condition(status, kind) if condition(status, kind) else status


def _in_need(status: Status) -> ConditionType | None:
    """The condition that says why a user is needed, or None."""
    if status.phase is Phase.FAILED:
        return ConditionType.FAILED
    told = condition(status, ConditionType.ACCEPTED)
    refused = told is not None and told.status == "False"
    active = status.phase is not None and status.phase.active
    return ConditionType.ACCEPTED if refused and not active else None
