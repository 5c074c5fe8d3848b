"""Whose a process's metrics are: a pod's name is its queue's, and job after job has it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge

from sihl_api.runtime import JobReference

_LABELS = ("namespace", "project", "training_job", "attempt")


def tell_whose(registry: CollectorRegistry, job: JobReference, attempt: str) -> None:
    """Add `sihl_job_info`, to be joined with the others by `instance`; its value is 1."""
    info = Gauge("sihl_job_info", "The job that the pod serves", _LABELS, registry=registry)
    info.labels(job.namespace, job.spec.project, job.name, attempt).set(1)
