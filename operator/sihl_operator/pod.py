"""The pod of an attempt, as the API server is asked for it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sihl_api.dataset import Credentials
from sihl_api.logs import JSON
from sihl_api.runtime import (
    DATASET_DIRECTORY,
    DATASET_KEYS,
    DATASET_OPTIONAL_KEYS,
    DATASET_SECRET_DIRECTORY,
    DATASET_TOKEN_DIRECTORY,
    FETCH_TRAIN_CONTAINER,
    FETCH_VALIDATION_CONTAINER,
    HTTP_PORT,
    SCRATCH_DIRECTORY,
    STORE_KEYS,
    STORE_PLACE_KEYS,
    STORE_SECRET,
    STORE_SECRET_DIRECTORY,
    STORE_TOKEN_DIRECTORY,
    TOKEN_FILE,
    TRAINER_CONTAINER,
    Env,
    reference_json,
)
from sihl_api.times import rfc3339
from sihl_api.trainingjob import API_VERSION, KIND
from sihl_api.units import quantity
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
    resources,
)

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
_TOKEN_SECONDS = 3600
"""After which the kubelet has made another token long since."""
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
        "initContainers": _fetch_containers(job, attempt, settings),
        "containers": [_trainer(job, attempt, settings)],
        "volumes": [
            {"name": "dataset", "emptyDir": {"sizeLimit": runner.get("datasetSize", "20Gi")}},
            {"name": "scratch", "emptyDir": _limited(settings.scratch_size)},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": settings.shared_memory}},
            *_secret_volumes(job),
            *_token_volumes(job, settings),
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
    containers = {"containers": [{"resources": _resources(job, settings)}]}
    where = placement(job, settings)
    return Demand(
        pod_requests(containers),
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


def _secret_volumes(job: JobView) -> list[dict[str, Any]]:
    """The Secrets as files, which follow them: keys may be rotated while a pod runs."""
    named = {"store": STORE_SECRET}
    for split in ("train", "validation"):
        if secret := _dataset_secret(job, split):
            named[f"{split}-keys"] = secret
    return [
        # Optional, because the kubelet waits for a volume without a word: a Secret that is missing
        # is told of the containers' variables.
        {"name": name, "secret": {"secretName": secret, "optional": True, "defaultMode": 0o440}}
        for name, secret in named.items()
    ]


def _token_volumes(job: JobView, settings: Settings) -> list[dict[str, Any]]:
    """Tokens of the pod's service account for those that lend keys; none is for Kubernetes' API."""
    wanted = {f"{split}-token": _dataset_audience(job, split) for split in ("train", "validation")}
    wanted["store-token"] = _store_audience(job, settings)
    return [
        {"name": name, "projected": {"defaultMode": 0o440, "sources": [
            {"serviceAccountToken": {
                "audience": audience, "path": TOKEN_FILE, "expirationSeconds": _TOKEN_SECONDS
            }}
        ]}}
        for name, audience in wanted.items() if audience
    ]  # fmt: skip


def _store_audience(job: JobView, settings: Settings) -> str | None:
    """For whom the record's token is made out; None where it wants none of the operator's."""
    return settings.store_token_audiences.get(job.namespace, settings.store_token_audience) or None


def _dataset_audience(job: JobView, split: str) -> str | None:
    """For whom a dataset's token is made out; None where it wants none of the operator's."""
    credentials = (job.spec["dataset"].get(split) or {}).get("credentials")
    return Credentials.model_validate(credentials).token_audience if credentials else None


def _with_token(
    container: dict[str, Any], volume: str, variable: str, folder: str
) -> dict[str, Any]:
    """The container with a token that the kubelet renews."""
    return {
        **container,
        "env": [*container["env"], {"name": variable, "value": f"{folder}/{TOKEN_FILE}"}],
        "volumeMounts": [*container["volumeMounts"], _keys_mount(volume, folder)],
    }


def _dataset_secret(job: JobView, split: str) -> str | None:
    credentials = (job.spec["dataset"].get(split) or {}).get("credentials") or {}
    name: str | None = credentials.get("secretName")
    return name


def _fetch_containers(job: JobView, attempt: int, settings: Settings) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for split, name in (
        ("train", FETCH_TRAIN_CONTAINER),
        ("validation", FETCH_VALIDATION_CONTAINER),
    ):
        if not job.spec["dataset"].get(split):
            continue
        container = _container(job, attempt, settings, name, ["fetch", split])
        if secret := _dataset_secret(job, split):
            container["env"] += [
                *(
                    _from_secret(Env.dataset(key), secret, key, key in DATASET_OPTIONAL_KEYS)
                    for key in DATASET_KEYS
                ),
                {"name": Env.DATASET_FILES, "value": DATASET_SECRET_DIRECTORY},
            ]
            container["volumeMounts"] += [_keys_mount(f"{split}-keys", DATASET_SECRET_DIRECTORY)]
        if _dataset_audience(job, split):
            container = _with_token(
                container, f"{split}-token", Env.DATASET_IDENTITY, DATASET_TOKEN_DIRECTORY
            )
        if not found:  # the first of all finds out whether the record can be written
            container = _with_store(container, job, settings)
        resources = {k: v for k, v in _cpu_and_memory(job, settings).items() if v}
        found.append({**container, "resources": resources})
    return found


def _trainer(job: JobView, attempt: int, settings: Settings) -> dict[str, Any]:
    return {
        **_with_store(
            _container(job, attempt, settings, TRAINER_CONTAINER, ["train"]), job, settings
        ),
        "resources": _resources(job, settings),
        "lifecycle": {"preStop": {"exec": {"command": ["sihl-trainer", "stop"]}}},
    }


def _with_store(container: dict[str, Any], job: JobView, settings: Settings) -> dict[str, Any]:
    """The container with the keys of the run records' store, or a token that keys are lent for."""
    keys = [
        # Whether there must be an access key, or a service account is asked, the Secret says.
        _from_secret(Env.store(key), STORE_SECRET, key, optional=key not in STORE_PLACE_KEYS)
        for key in STORE_KEYS
    ]
    if _store_audience(job, settings):
        container = _with_token(container, "store-token", Env.STORE_IDENTITY, STORE_TOKEN_DIRECTORY)
    files = {"name": Env.STORE_FILES, "value": STORE_SECRET_DIRECTORY}
    mount = _keys_mount("store", STORE_SECRET_DIRECTORY)
    return {
        **container,
        "env": [*container["env"], *keys, files],
        "volumeMounts": [*container["volumeMounts"], mount],
    }


def _container(
    job: JobView,
    attempt: int,
    settings: Settings,
    name: str,
    arguments: list[str],
) -> dict[str, Any]:
    image = job.runner.get("image") or settings.trainer_image
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
    env += [
        {"name": each["name"], "value": _literal(each["value"])}
        for each in job.runner.get("env") or ()
        if each["name"] not in ours
    ]
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["sihl-trainer", *arguments],
        "env": env,
        "ports": [{"name": "metrics", "containerPort": HTTP_PORT}],
        "securityContext": _SECURITY,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [*_MOUNTS],
    }


def _literal(text: str) -> str:
    """A value that the container sees as it is: Kubernetes expands `$(NAME)`, and `$$` to `$`."""
    return text.replace("$", "$$")


def _from_field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _keys_mount(volume: str, path: str) -> dict[str, Any]:
    return {"name": volume, "mountPath": path, "readOnly": True}


def _from_secret(name: str, secret: str, key: str, optional: bool = False) -> dict[str, Any]:
    reference: dict[str, Any] = {"name": secret, "key": key}
    if optional:
        reference["optional"] = True
    return {"name": name, "valueFrom": {"secretKeyRef": reference}}


def _limited(size: str) -> dict[str, str]:
    return {"sizeLimit": size} if size else {}


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


def _resources(job: JobView, settings: Settings) -> dict[str, dict[str, Any]]:
    found = _cpu_and_memory(job, settings)
    if job.gpus:
        found["limits"][settings.gpu_resource] = str(job.gpus)
        found["requests"][settings.gpu_resource] = str(job.gpus)
    return found
