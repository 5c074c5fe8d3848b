"""The containers of an attempt's pod: what they run, are told, and ask of their node. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sihl_api.logs import JSON
from sihl_api.runtime import (
    DATASET_DIRECTORY,
    FETCH_TRAIN_CONTAINER,
    FETCH_VALIDATION_CONTAINER,
    HTTP_PORT,
    SCRATCH_DIRECTORY,
    TRAINER_CONTAINER,
    Env,
    reference_json,
)
from sihl_api.times import rfc3339
from sihl_api.units import quantity
from sihl_operator import credentials
from sihl_operator.settings import Settings
from sihl_operator.views import JobView, resources

_SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_MOUNTS = [
    {"name": "dataset", "mountPath": DATASET_DIRECTORY},
    {"name": "scratch", "mountPath": SCRATCH_DIRECTORY},
    {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 (a mount, not a file)
]


def fetches(job: JobView, attempt: int, settings: Settings) -> list[dict[str, Any]]:
    """Those that bring the dataset, one a split."""
    found: list[dict[str, Any]] = []
    for split, name in (
        ("train", FETCH_TRAIN_CONTAINER),
        ("validation", FETCH_VALIDATION_CONTAINER),
    ):
        if not job.spec["dataset"].get(split):
            continue
        container = _container(job, attempt, settings, name, ["fetch", split])
        container = credentials.with_dataset(container, job, split)
        if not found:  # the first of all finds out whether the record can be written
            container = credentials.with_store(container, job, settings)
        resources = {k: v for k, v in _cpu_and_memory(job, settings).items() if v}
        found.append({**container, "resources": resources})
    return found


def trainer(job: JobView, attempt: int, settings: Settings) -> dict[str, Any]:
    """The one that learns, and saves before it is stopped."""
    container = _container(job, attempt, settings, TRAINER_CONTAINER, ["train"])
    return {
        **credentials.with_store(container, job, settings),
        "resources": asked(job, settings),
        "lifecycle": {"preStop": {"exec": {"command": ["sihl-trainer", "stop"]}}},
    }


def _container(
    job: JobView, attempt: int, settings: Settings, name: str, arguments: list[str]
) -> dict[str, Any]:
    image = job.runner.get("image") or settings.trainer_image
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["sihl-trainer", *arguments],
        "env": _environment(job, attempt, settings, image),
        "ports": [{"name": "metrics", "containerPort": HTTP_PORT}],
        "securityContext": _SECURITY,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [*_MOUNTS],
    }


def _environment(
    job: JobView, attempt: int, settings: Settings, image: str
) -> list[dict[str, Any]]:
    """What every container is told; of the job's own variables those that are not ours."""
    env: list[dict[str, Any]] = [
        {
            "name": Env.JOB,
            "value": _literal(
                reference_json(
                    job.namespace, job.name, job.uid, dict(job.spec), rfc3339(job.created)
                )
            ),
        },
        {"name": Env.ATTEMPT, "value": str(attempt)},
        {"name": Env.IMAGE, "value": _literal(image)},
        {"name": "TMPDIR", "value": SCRATCH_DIRECTORY},
        {"name": "HOME", "value": SCRATCH_DIRECTORY},
        _from_field(Env.POD_NAME, "metadata.name"),
        _from_field(Env.NODE_NAME, "spec.nodeName"),
        _from_field(Env.SERVICE_ACCOUNT, "spec.serviceAccountName"),
    ]
    if settings.log_format == JSON:
        env.append({"name": Env.LOG_FORMAT, "value": JSON})
    if settings.runner_user is None:  # whom the image does not know, and libraries ask for a name
        env.append({"name": "USER", "value": "sihl"})
    if settings.traces_endpoint:
        env.append({"name": Env.TRACES_ENDPOINT, "value": _literal(settings.traces_endpoint)})
    if settings.allow_cpu:
        env.append({"name": Env.ALLOW_CPU, "value": "1"})
    ours = {each["name"] for each in env}
    return env + [
        {"name": each["name"], "value": _literal(each["value"])}
        for each in job.runner.get("env") or ()
        if each["name"] not in ours
    ]


def _literal(text: str) -> str:
    """A value that the container sees as it is: Kubernetes expands `$(NAME)`, and `$$` to `$`."""
    return text.replace("$", "$$")


def _from_field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def asked(job: JobView, settings: Settings) -> dict[str, dict[str, Any]]:
    """What the trainer's container requests, and its limits: by the job, or by default."""
    found = _cpu_and_memory(job, settings)
    if job.gpus:
        found["limits"][settings.gpu_resource] = str(job.gpus)
        found["requests"][settings.gpu_resource] = str(job.gpus)
    return found


def _cpu_and_memory(job: JobView, settings: Settings) -> dict[str, dict[str, Any]]:
    given: Mapping[str, Any] = job.runner.get("resources") or {}
    limits, requests = dict(given.get("limits") or {}), dict(given.get("requests") or {})
    for name, default, most in (
        ("cpu", settings.default_cpu, settings.default_cpu_limit),
        ("memory", settings.default_memory, settings.default_memory_limit),
    ):
        if name not in requests and name not in limits:
            requests[name] = default
        if most and name not in limits:
            limits[name] = _at_least(requests[name], most)
    return {"limits": limits, "requests": requests}


def _at_least(request: Any, limit: str) -> Any:
    """The limit, or a request that is beyond it."""
    within = resources({"asked": request}).get("asked", quantity(limit)) <= quantity(limit)
    return limit if within else request
