"""Raw objects as the API server sends them, for tests of what is decided about them."""

from __future__ import annotations

from typing import Any

from sihl_api.runtime import Result
from sihl_api.status import CheckpointStatus, ModelStatus
from sihl_operator.judges import complete
from sihl_operator.patches import as_json
from sihl_operator.views import JobView, PodView, pod_view

Raw = dict[str, Any]
NOW = 1_800_000_000.0
SAVED = CheckpointStatus(step=7, uri="s3://b/c/7", saved_at="2027-01-15T08:00:00Z")
MODEL = ModelStatus(uri="s3://b/model", checksum="0" * 64)

SPEC: Raw = {
    "project": "cells",
    "dataset": {
        "train": {
            "endpoint": "http://s3",
            "bucket": "cells",
            "credentials": {"secretName": "keys"},
        }
    },
    "model": {"heads": [{"name": "kind", "task": "MulticlassClassification"}]},
    "runner": {"gpus": 1, "retries": 2, "stopGracePeriod": "1m", "startTimeout": "10m"},
}


def job(
    name: str = "job",
    phase: str | None = None,
    status: Raw | None = None,
    created: str = "2027-01-15T08:00:00Z",
    annotations: Raw | None = None,
    version: int = 1,
    **spec: Any,
) -> JobView:
    """A TrainingJob, whose status lacks nothing that follows from its phase."""
    told = dict(status or {})
    if phase:
        told["phase"] = phase
    if phase in ("Starting", "Running", "Stopping"):
        told = {
            "attempt": 1,
            "queue": "cells",
            "podName": "cells-runner",
            "startedAt": "2027-01-15T07:59:00Z",
            **told,
        }
    raw = {
        "metadata": {
            "namespace": "team",
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "generation": 1,
            "creationTimestamp": created,
            "annotations": annotations or {},
        },
        "spec": {**SPEC, **spec},
        "status": told,
    }
    made = JobView(raw)
    if not told.get("phase"):
        return made
    return JobView({**raw, "status": {**told, **as_json(complete(made, made.status, NOW))}})


def raw_pod(
    serves: str = "job",
    attempt: int = 1,
    phase: str = "Running",
    containers: Raw | None = None,
    init: Raw | None = None,
    version: int = 1,
    node: str = "node-1",
    queue: str = "cells",
    gates: tuple[str, ...] = (),
    limits: Raw | None = None,
    **change: Any,
) -> Raw:
    """A pod; `containers` and `init` map names to states; `limits` are each container's."""
    metadata: Raw = {
        "namespace": "team",
        "name": f"{queue}-runner",
        "uid": f"pod-{serves}-{attempt}",
        "resourceVersion": str(version),
        "creationTimestamp": "2027-01-15T08:00:00Z",
        "labels": {
            "sihl.ai/job-uid": f"uid-{serves}",
            "sihl.ai/job": serves,
            "sihl.ai/queue": queue,
            "sihl.ai/attempt": str(attempt),
        },
    }
    metadata |= change.pop("metadata", {})
    resources = {"requests": {"cpu": "1"}, "limits": limits or {}}
    return {
        "metadata": metadata,
        "spec": {
            "nodeName": node,
            "schedulingGates": [{"name": gate} for gate in gates],
            "initContainers": [{"name": name, "resources": resources} for name in init or {}],
            "containers": [{"name": "trainer", "resources": resources}],
        },
        "status": {
            "phase": phase,
            "podIP": "10.0.0.1",
            "initContainerStatuses": [{"name": n, "state": s} for n, s in (init or {}).items()],
            "containerStatuses": [{"name": n, "state": s} for n, s in (containers or {}).items()],
            **change,
        },
    }


def raw_node(name: str, gpus: int) -> Raw:
    """A node that is ready, with room for all but GPUs."""
    offers = {"cpu": "64", "memory": "256Gi", "pods": "110", "nvidia.com/gpu": str(gpus)}
    ready = [{"type": "Ready", "status": "True"}]
    return {
        "metadata": {"name": name, "resourceVersion": "1"},
        "spec": {},
        "status": {"allocatable": offers, "conditions": ready},
    }


def pod(gone: bool = False, **what: Any) -> PodView:
    """A pod's view."""
    return pod_view(raw_pod(**what), gone=gone)


def ended(code: int, result: Result | None = None, reason: str = "Error", text: str = "") -> Raw:
    """The state of a container that has ended."""
    message = result.encode().decode() if result else text
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


RUNNING: Raw = {"running": {"startedAt": "2027-01-15T08:00:00Z"}}


def waiting(reason: str, message: str = "") -> Raw:
    """The state of a container that cannot start."""
    return {"waiting": {"reason": reason, "message": message}}
