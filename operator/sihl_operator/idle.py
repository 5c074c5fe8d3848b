"""The policies of a job of which no attempt runs: it has ended, is refused, or waits."""

# ruff: noqa: ARG001 (policies share one signature; few need all of it)

from __future__ import annotations

from sihl_api.status import ConditionType, Phase
from sihl_api.status import TrainingJobStatus as Status
from sihl_operator import status
from sihl_operator.conditions import condition
from sihl_operator.decision import NOTHING, Decision, written
from sihl_operator.moment import Moment
from sihl_operator.patches import as_json
from sihl_operator.queues import refusal
from sihl_operator.views import JobView, PodView


def orphaning(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """A job that is deleted without its pod needs nothing: it is gone in a moment."""
    return NOTHING if job.orphaning else None


def resumable(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """A Failed job that has a checkpoint is Stopped once its user suspends it, to be resumed."""
    if job.phase is not Phase.FAILED or not job.suspend or job.status.checkpoint is None:
        return None
    return Decision(status=status.resumable(job, moment.now))


def expired(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """A job that has Succeeded or Failed is deleted, once it was kept for as long as it says."""
    if job.phase not in (Phase.SUCCEEDED, Phase.FAILED) or job.life is None or job.deleting:
        return None
    return Decision(expire=True) if moment.ages.finished >= job.life else None


def finished(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """Succeeded and Failed are final; Stopped is until its user resumes it, if it is there yet."""
    if job.phase in (Phase.SUCCEEDED, Phase.FAILED):
        kept = None if job.life is None or job.deleting else job.life - moment.ages.finished
        return Decision(after=kept)
    return NOTHING if job.phase is Phase.STOPPED and job.unwanted else None


def unwanted_while_waiting(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """A job that waits, or was never seen, is stopped at once."""
    if not job.unwanted or job.active:
        return None
    text = "Deleted while it waited."
    if not job.deleting:
        text = "Suspended while it waited: set spec.suspend to false to queue it again."
    return Decision(status=status.stopped(job, text, moment.now, saved=False))


def not_accepted(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """A queue or a spec that cannot be is never admitted; its user can mend it."""
    if job.active or (fault := refusal(job)) is None:
        return None
    return written(job, status.refused(job, *fault, moment.now))


def waiting(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """A new, resumed or waiting job: Queued, with the reason why it waits."""
    if job.active:
        return None
    reason, message = moment.waiting
    met = job.status.obstacle
    if met is not None and not moment.backoff:  # else it is what the job is told
        message += f" Its last attempt met {met.reason}, which is in the way since {met.since}."
    new = status.queued(job, moment.position, reason, message, moment.now)
    after = moment.backoff or None
    if job.phase is not Phase.QUEUED or new.queue != job.status.queue:
        return Decision(status=new, after=after)
    if as_json(new) == as_json(job.status):
        return Decision(after=after)
    changed = _reason(new) != _reason(job.status)
    return Decision(status=new, refresh=not changed, after=after)


def _reason(of: Status) -> str | None:
    admitted = condition(of, ConditionType.ADMITTED)
    return admitted.reason if admitted else None
