"""What the platform team sets: one variable SIHL_OPERATOR_<FIELD> for each field."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from sihl_api.units import seconds

PREFIX = "SIHL_OPERATOR_"


@dataclass(frozen=True)
class Settings:
    """The operator's settings; durations in seconds, in the environment as `90s`, `10m`, `1h`."""

    trainer_image: str = "sihl-trainer:dev"
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    gpu_resource: str = "nvidia.com/gpu"
    autoscaler_max_gpus: int = 0  # 0: what the nodes have is all there is
    allow_cpu: bool = False  # jobs with gpus > 0 may train on a CPU: for clusters without GPUs
    default_cpu: str = "1"  # requests of a job that names none
    default_memory: str = "2Gi"
    shared_memory: str = "1Gi"  # /dev/shm; counts against the memory limit as it fills
    scratch_size: str = ""  # limit of the scratch volume; empty: none
    runner_user: int = 10001

    watch_namespaces: tuple[str, ...] = ()  # empty: all
    log_level: str = "INFO"
    lease_namespace: str = "default"
    lease_name: str = "sihl-operator"
    identity: str = "sihl-operator"
    lease_duration: float = 15.0
    lease_renewal: float = 4.0
    metrics_port: int = 9465
    liveness_port: int = 8080

    startup_problem_timeout: float = 120.0  # an image or a Secret that does not come
    unschedulable_timeout: float = 300.0  # a pod that the scheduler does not place
    lost_node_timeout: float = 300.0  # past its grace period, a pod is forced away
    reserve_after: float = 300.0  # a job that waited so long for room has a node kept free for it
    retry_backoff: float = 10.0  # doubles with each failure
    retry_backoff_limit: float = 600.0
    unavailable_backoff: float = 30.0  # what is not the job's fault; doubles while it lasts
    unavailable_backoff_limit: float = 1800.0
    progress_interval: float = 10.0
    position_interval: float = 10.0
    relist_interval: float = 300.0


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from the environment.

    Raises:
        ValueError: A value cannot be read, or a SIHL_OPERATOR_ variable is none of ours.
    """
    known = {f"{PREFIX}{field.name.upper()}": field for field in fields(Settings)}
    given: dict[str, Any] = {}
    for name, text in environ.items():
        if not name.startswith(PREFIX):
            continue
        if name not in known:
            raise ValueError(f"{name} is no setting of the operator: {', '.join(sorted(known))}")
        field = known[name]
        try:
            given[field.name] = _value(text, field.default)
        except ValueError as error:
            raise ValueError(f"{name}={text!r}: {error}") from None
    return Settings(**given)


def _value(text: str, default: Any) -> Any:
    if isinstance(default, bool):
        if text.lower() not in ("true", "false", "1", "0"):
            raise ValueError("must be true or false")
        return text.lower() in ("true", "1")
    if isinstance(default, int):
        return int(text)
    if isinstance(default, float):
        return float(seconds(text))
    if isinstance(default, tuple):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text
