"""The pod of an attempt, as the API server is asked for it. Pure."""

from __future__ import annotations

from typing import Any

from sihl_api.runtime import HTTP_PORT, TRAINER_CONTAINER
from sihl_api.trainingjob import API_VERSION, KIND
from sihl_operator import containers, credentials
from sihl_operator.capacity import Demand
from sihl_operator.placement import placement
from sihl_operator.settings import Settings
from sihl_operator.views import (
    ATTEMPT_LABEL,
    JOB_LABEL,
    JOB_UID_LABEL,
    PROJECT_LABEL,
    QUEUE_LABEL,
    JobView,
    pod_name,
    pod_requests,
)

_TAKEN_OVER = (
    "serviceAccountName", "priorityClassName", "runtimeClassName", "schedulerName",
    "topologySpreadConstraints",
)  # fmt: skip
"""Fields of spec.runner that are the pod's own, as they stand."""


def render_pod(job: JobView, attempt: int, queue: str, settings: Settings) -> dict[str, Any]:
    """The pod that serves a job's attempt; its name is the queue's, and there is but one."""
    runner = job.runner
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": job.runner_seconds("stopGracePeriod", "5m"),
        "securityContext": {
            "runAsNonRoot": True,
            **_user(settings),
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": containers.fetches(job, attempt, settings),
        "containers": [containers.trainer(job, attempt, settings)],
        "volumes": [
            {"name": "dataset", "emptyDir": {"sizeLimit": runner.get("datasetSize", "20Gi")}},
            {"name": "scratch", "emptyDir": _limited(settings.scratch_size)},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": settings.shared_memory}},
            *credentials.volumes(job, settings),
        ],
        "os": {"name": "linux"},
        **placement(job, settings),
    }
    if settings.default_runtime_class:
        spec["runtimeClassName"] = settings.default_runtime_class
    for field in _TAKEN_OVER:
        if runner.get(field):
            spec[field] = runner[field]
    account = settings.service_accounts.get(job.namespace, settings.default_service_account)
    if account:
        spec.setdefault("serviceAccountName", account)
    if secrets := _pull_secrets(job, settings):
        spec["imagePullSecrets"] = [{"name": name} for name in secrets]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(job, attempt, queue),
        "spec": spec,
    }


def _user(settings: Settings) -> dict[str, int]:
    """User and groups, unless the cluster assigns them."""
    if settings.runner_user is None:
        return {}
    return dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"), settings.runner_user)


def demand(job: JobView, settings: Settings) -> Demand:
    """What the job's pod will ask of a node."""
    trainer = {"resources": containers.asked(job, settings)}
    where = placement(job, settings)
    return Demand(
        pod_requests({"containers": [trainer]}),
        where.get("nodeSelector", {}),
        tuple(where.get("tolerations", ())),
        where.get("affinity"),
    )


def _metadata(job: JobView, attempt: int, queue: str) -> dict[str, Any]:
    return {
        "name": pod_name(queue),
        "namespace": job.namespace,
        # The job's own first: none of them has a name of ours, and ours would win.
        "labels": {
            **(job.runner.get("labels") or {}),
            "app.kubernetes.io/name": "sihl-runner",
            "app.kubernetes.io/managed-by": "sihl-operator",
            JOB_UID_LABEL: job.uid,
            JOB_LABEL: job.name,
            PROJECT_LABEL: job.spec["project"],
            QUEUE_LABEL: queue,
            ATTEMPT_LABEL: str(attempt),
        },
        "annotations": {
            **(job.runner.get("annotations") or {}),
            "prometheus.io/scrape": "true",
            "prometheus.io/port": str(HTTP_PORT),
            "kubectl.kubernetes.io/default-container": TRAINER_CONTAINER,  # of `kubectl logs`
        },
        # The job's deletion deletes the pod, gracefully, even while no operator runs.
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": job.name,
                "uid": job.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }


def _pull_secrets(job: JobView, settings: Settings) -> list[str]:
    """The job's, and the platform's that it does not name itself."""
    own = [each["name"] for each in job.runner.get("imagePullSecrets") or ()]
    return list(dict.fromkeys([*own, *settings.image_pull_secrets]))


def _limited(size: str) -> dict[str, str]:
    return {"sizeLimit": size} if size else {}
