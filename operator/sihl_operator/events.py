"""Kubernetes Events, for what a person should see in `kubectl describe`. Pure."""

from __future__ import annotations

from typing import Any

from sihl_api.trainingjob import API_VERSION, KIND
from sihl_operator.decision import Notice
from sihl_operator.status import as_reason
from sihl_operator.views import JobView, rfc3339

_LIMIT = 1000


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
        "message": notice.message[:_LIMIT],
        "source": {"component": "sihl-operator"},
        "firstTimestamp": rfc3339(now),
        "lastTimestamp": rfc3339(now),
        "count": 1,
    }
