"""What becomes of a job whose attempt is over: final, retried and counted, or waited for. Pure."""

from __future__ import annotations

from sihl_api.status import ConditionType, Phase
from sihl_operator import status
from sihl_operator.decision import Decision, Notice
from sihl_operator.endings import Ending, Verdict
from sihl_operator.settings import Settings
from sihl_operator.views import JobView

_FORGIVEN_SECONDS = 3600.0
"""For which a place that the job names may be away before an attempt counts."""


def judged(
    job: JobView,
    end: Ending,
    now: float,
    settings: Settings,
    lasted: float,
    longest: float | None = None,
) -> Decision:
    """What follows from an end that is neither a success nor a stop.

    Args:
        job: With its last result already in its status.
        end: How the attempt ended.
        now: Seconds since 1970.
        settings: The operator's.
        lasted: For how many seconds the obstacle in its status has been seen there.
        longest: Of the pauses between attempts that are not counted, in seconds.
    """
    if end.verdict is Verdict.FATAL:
        return failed(job, end, now)
    if end.verdict is Verdict.FAILED:
        return _retried(job, end, now, settings)
    return _waited_for(job, end, now, settings, lasted, longest)


def failed(job: JobView, end: Ending, now: float) -> Decision:
    """Final, unless there is a checkpoint from which its user resumes it."""
    text = end.message
    if saved := job.status.checkpoint:
        text += (
            f" The checkpoint of step {saved.step} stands: once the cause is mended, set "
            "spec.suspend to true and, when the job is Stopped, to false to resume from it."
        )
    new = status.ended(job, Phase.FAILED, ConditionType.FAILED, end.reason, text, now)
    return Decision(status=new, notice=Notice(end.reason, end.message))


def _retried(job: JobView, end: Ending, now: float, settings: Settings) -> Decision:
    """Counted against `retries`, with a backoff that doubles."""
    failures, retries = job.failures + 1, _retries(job)
    if failures > retries:
        return _given_up(job, end, now, failures)
    backoff = _pause(settings.retry_backoff, failures, settings.retry_backoff_limit)
    text = f"{end.message} Failure {failures}, to be retried up to {retries} times."
    new = status.requeued(job, end.reason, text, now, failures=failures, retry_in=backoff)
    return Decision(status=new, notice=Notice(end.reason, text), after=backoff)


def _retries(job: JobView) -> int:
    return int(job.runner.get("retries", 3))


def _given_up(job: JobView, end: Ending, now: float, failures: int) -> Decision:
    text, retries = end.message, _retries(job)
    if retries:
        text += f" Given up after {failures} failed attempts (spec.runner.retries: {retries})."
    counted = JobView(job.raw, {**job.stored_status, "failures": failures}).knowing(job)
    return failed(counted, Ending(end.verdict, end.reason, text, end.result), now)


def _waited_for(
    job: JobView,
    end: Ending,
    now: float,
    settings: Settings,
    lasted: float,
    longest: float | None,
) -> Decision:
    """Asked again less and less often while the same is in the way.

    Nobody counts, but for a place that the job names and that has been away for an hour.
    """
    met = status.obstacle(job, end.reason, now, attempts=1)
    same = met.attempts > 1
    counts = end.of_the_jobs and same and lasted >= _FORGIVEN_SECONDS
    failures = job.failures + counts
    if counts and failures > _retries(job):
        return _given_up(job, end, now, failures)
    limit = settings.unavailable_backoff_limit if longest is None else longest
    backoff = _pause(settings.unavailable_backoff, met.attempts, limit)
    text = f"{end.message} {status.since(met, failures if counts else 0, _retries(job))}"
    new = status.requeued(
        job, end.reason, text, now, failures=failures or None, retry_in=backoff, obstacle=met
    )
    # Told once as an Event: the condition goes on saying it.
    notice = Notice(end.reason, text) if met.attempts == 1 else None
    return Decision(status=new, notice=notice, after=backoff)


def _pause(first: float, times: int, longest: float) -> float:
    return min(max(first, longest), first * 2.0 ** min(times - 1, 30))
