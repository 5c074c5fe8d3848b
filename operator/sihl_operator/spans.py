"""What came to an end by a write of a job's status, as spans of its trace. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sihl_api.status import ConditionType, Phase
from sihl_api.traces import Span, attempt_id, job_attributes, job_id
from sihl_operator.conditions import condition
from sihl_operator.views import JobView, parse

_FINAL = (Phase.SUCCEEDED, Phase.FAILED)


def spans_of(before: JobView, after: JobView, now: float, waited: float) -> Iterator[Span]:
    """What a job did until now: its wait, its attempt, and its whole life.

    Args:
        before: The job.
        after: The job, as its status was written.
        now: Seconds since 1970.
        waited: For how many seconds it was seen to wait in its queue.
    """
    uid = after.uid
    if after.phase is Phase.STARTING and before.phase is not Phase.STARTING:
        began = now - waited if before.attempt else min(after.created, now)
        told = {**_told(after, after.attempt), "sihl.queue": after.queue}
        yield Span("queue", uid, began, now, within=job_id(uid), attributes=told)
    if before.active and not after.active:
        began = parse(before.status.started_at) or now
        told = _told(before, before.attempt) | _end(after)
        told |= {"k8s.node.name": before.status.node_name or "", "sihl.queue": before.queue}
        own = attempt_id(uid, before.attempt)
        failed = _failure(after)
        yield Span(f"attempt {before.attempt}", uid, began, now, own, job_id(uid), told, failed)
    if after.phase in _FINAL and before.phase not in _FINAL:
        own, told = job_id(uid), _told(after, 0) | _end(after)
        yield Span("job", uid, min(after.created, now), now, own, 0, told, _failure(after))


def _told(job: JobView, attempt: int) -> dict[str, Any]:
    return job_attributes(job.namespace, job.name, str(job.spec["project"]), attempt)


def _end(job: JobView) -> dict[str, Any]:
    return {"sihl.phase": str(job.phase), "sihl.reason": _reason(job)}


def _reason(job: JobView) -> str:
    kind = {Phase.SUCCEEDED: ConditionType.COMPLETE, Phase.FAILED: ConditionType.FAILED}
    told = condition(job.status, kind.get(job.phase or Phase.QUEUED, ConditionType.ADMITTED))
    return told.reason if told is not None else ""


def _failure(job: JobView) -> str:
    """Why it failed; a stop, or what is tried again as nobody's fault, is no error."""
    counted = job.phase is Phase.QUEUED and job.status.obstacle is None
    return _reason(job) if job.phase is Phase.FAILED or counted else ""
