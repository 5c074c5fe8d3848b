"""Kubernetes Events, for what a person should see in `kubectl describe`."""

from __future__ import annotations

from typing import Any

from sihl_api.status import ConditionType, Phase
from sihl_api.text import shortened
from sihl_api.times import rfc3339
from sihl_api.trainingjob import API_VERSION, KIND
from sihl_operator.conditions import as_reason, condition
from sihl_operator.decision import Notice
from sihl_operator.views import JobView

_LIMIT = 1000


class Allowance:
    """How many events of jobs that go well are written: a few at once, then one a second.

    Such an event tells nothing that the status does not have. Where hundreds of jobs change at
    once the API server has other work, and goes without.
    """

    _MOST = 20.0

    def __init__(self) -> None:
        self._left, self._at = self._MOST, 0.0

    def take(self, now: float) -> bool:
        """Whether one may be written now, in seconds of any clock; it is counted."""
        self._left = min(self._MOST, self._left + max(0.0, now - self._at))
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def milestone(before: JobView, after: JobView) -> Notice | None:
    """What a job that has come to another phase tells, though nothing is wrong."""
    if after.phase is before.phase or after.phase is None:
        return None
    told = condition(after.status, ConditionType.ADMITTED)
    texts = {
        Phase.QUEUED: f"The job waits in the queue {after.queue!r}.",
        Phase.STARTING: f"Attempt {after.attempt} starts as the pod {after.status.pod_name}.",
        Phase.RUNNING: f"Attempt {after.attempt} trains on {after.status.node_name}.",
        Phase.STOPPING: "The pod was asked to save a checkpoint and end.",
    }
    text = texts.get(after.phase) or (told.message if told else "")
    return Notice(after.phase.value, text, warning=False)


def event_for(job: JobView, notice: Notice, now: float) -> dict[str, Any]:
    """An Event about a job."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{job.name}.", "namespace": job.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": job.namespace,
            "name": job.name,
            "uid": job.uid,
        },
        "type": "Warning" if notice.warning else "Normal",
        "reason": as_reason(notice.reason),
        "message": shortened(notice.message, _LIMIT),
        "source": {"component": "sihl-operator"},
        "firstTimestamp": rfc3339(now),
        "lastTimestamp": rfc3339(now),
        "count": 1,
    }
