"""What the platform team sets: one variable SIHL_OPERATOR_<FIELD> for each field."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from sihl_api.logs import FORMATS, TEXT
from sihl_api.units import human_seconds, quantity, seconds
from sihl_operator import given

PREFIX = "SIHL_OPERATOR_"


@dataclass(frozen=True)
class Settings:
    """The operator's settings; durations in seconds, in the environment as `90s`, `10m`, `1h`."""

    trainer_image: str = "sihl-trainer:dev"
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    gpu_resource: str = "nvidia.com/gpu"
    # Of the nodes that jobs run on. As a rule the images are built together: the operator's own.
    runner_architectures: tuple[str, ...] = (given.architecture(platform.machine()),)
    autoscaler_max_gpus: int = 0  # 0: what the nodes have is all there is
    autoscaler_max_cpus: int = 0  # the same, for jobs that ask for no GPU
    allow_cpu: bool = False  # jobs with gpus > 0 may train on a CPU: for clusters without GPUs
    default_cpu: str = "1"  # requests of a job that names none
    default_memory: str = "2Gi"
    default_cpu_limit: str = ""  # limits of a job that names none; empty: none
    default_memory_limit: str = ""
    default_node_selector: Mapping[str, str] = field(default_factory=dict)  # a job's own labels win
    default_tolerations: tuple[Mapping[str, Any], ...] = ()  # beside a job's own
    shared_memory: str = "1Gi"  # /dev/shm; counts against the memory limit as it fills
    scratch_size: str = ""  # limit of the scratch volume; empty: none
    default_service_account: str = ""  # of jobs that name none; empty: the namespace's default
    service_accounts: Mapping[str, str] = field(default_factory=dict)  # the same, by namespace
    store_token_audience: str = ""  # of a token that lends keys of the store; empty: no token
    store_token_audiences: Mapping[str, str] = field(default_factory=dict)  # by namespace
    default_runtime_class: str = ""  # of a job that names none; empty: the cluster's own
    runner_user: int | None = 10001  # None, written as nothing: whom the cluster assigns

    watch_namespaces: tuple[str, ...] = ()  # empty: all
    log_level: str = "INFO"
    log_format: str = TEXT  # json: an object a line, of the operator and of the jobs' pods
    traces_endpoint: str = ""  # of a collector of OTLP over HTTP; empty: nothing is traced
    lease_namespace: str = "default"
    lease_name: str = "sihl-operator"
    identity: str = "sihl-operator"
    lease_duration: float = 15.0
    lease_renewal: float = 4.0
    metrics_port: int = 9465
    liveness_port: int = 8080
    liveness_address: str = "0.0.0.0"  # noqa: S104 (in the chart the pod's IP, of its family)

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


_CHECKS: Mapping[str, Callable[[Any], None]] = {
    "trainer_image": given.an_image,
    "image_pull_policy": given.one_of("Always", "IfNotPresent", "Never"),
    "image_pull_secrets": given.each(given.an_object_name),
    "gpu_resource": given.an_extended_resource,
    "runner_architectures": given.some(given.one_of(*given.ARCHITECTURES)),
    "autoscaler_max_gpus": given.between(0, 1_000_000),
    "autoscaler_max_cpus": given.between(0, 1_000_000),
    "default_cpu": given.an_amount("1m", "4 or 500m"),
    "default_memory": given.an_amount("64Mi", "2Gi"),
    "default_cpu_limit": given.maybe(given.an_amount("1m", "4 or 500m")),
    "default_memory_limit": given.maybe(given.an_amount("64Mi", "2Gi")),
    "default_node_selector": given.labels,
    "default_tolerations": given.each(given.a_toleration),
    "shared_memory": given.an_amount("1Mi", "2Gi"),
    "scratch_size": given.maybe(given.an_amount("1Mi", "2Gi")),
    "default_service_account": given.maybe(given.an_object_name),
    "service_accounts": given.by_namespace(given.an_object_name),
    "store_token_audiences": given.by_namespace(given.anything),
    "default_runtime_class": given.maybe(given.an_object_name),
    "runner_user": given.unless_none(given.between(1, 2**31 - 1)),
    "watch_namespaces": given.each(given.a_namespace),
    "log_level": given.one_of("DEBUG", "INFO", "WARNING", "ERROR"),
    "log_format": given.one_of(*FORMATS),
    "traces_endpoint": given.maybe(given.a_url),
    "lease_namespace": given.a_namespace,
    "lease_name": given.an_object_name,
    "identity": given.an_object_name,
    "metrics_port": given.between(1, 65535),
    "liveness_port": given.between(1, 65535),
    "liveness_address": given.an_address,
    "reserve_after": given.a_duration(at_least=0),
}
"""What a field's value may be; a duration that is not here is a second or more."""
_JSON = (
    "default_node_selector", "default_tolerations", "service_accounts", "store_token_audiences",
)  # fmt: skip
_MAY_BE_NONE = ("runner_user",)


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from the environment.

    Raises:
        ValueError: A value cannot be, by itself or beside another, or a SIHL_OPERATOR_ variable
            is none of ours. The message names the variable.
    """
    known = {_variable(each.name): each for each in fields(Settings)}
    found: dict[str, Any] = {}
    for name, text in environ.items():
        if not name.startswith(PREFIX):
            continue
        if name not in known:
            raise ValueError(f"{name} is no setting of the operator: {', '.join(sorted(known))}")
        try:
            found[known[name].name] = _value(text, known[name])
        except ValueError as error:
            raise ValueError(f"{name}={text!r}: {error}") from None
    settings = Settings(**found)
    _check_together(settings)
    return settings


def _variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"


def _value(text: str, of: Field[Any]) -> Any:
    value = _parsed(text, of)
    otherwise = given.a_duration(at_least=1) if isinstance(value, float) else given.anything
    _CHECKS.get(of.name, otherwise)(value)
    return value


def _parsed(text: str, of: Field[Any]) -> Any:
    if of.name in _JSON:
        return given.from_json(text)
    if of.name in _MAY_BE_NONE and not text:
        return None
    if isinstance(of.default, bool):
        if text.lower() not in ("true", "false", "1", "0"):
            raise ValueError("must be true or false")
        return text.lower() in ("true", "1")
    if isinstance(of.default, int):
        if not re.fullmatch(r"-?[0-9]+", text):
            raise ValueError("must be a whole number")
        return int(text)
    if isinstance(of.default, float):
        return float(seconds(text))
    if isinstance(of.default, tuple):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text


def _check_together(settings: Settings) -> None:
    """Raise ValueError where each value could be, and two of them not beside each other."""
    _check_order(settings, "lease_renewal", "lease_duration", "half of ", 2)
    _check_order(settings, "retry_backoff", "retry_backoff_limit")
    for name in ("default_cpu", "default_memory"):
        if getattr(settings, f"{name}_limit"):
            _check_order(settings, name, f"{name}_limit")
    if settings.metrics_port == settings.liveness_port:
        one, other = _variable("metrics_port"), _variable("liveness_port")
        raise ValueError(f"{one} and {other} are both {settings.metrics_port}: change one of them")


def _check_order(
    settings: Settings, lesser: str, greater: str, part: str = "", divisor: int = 1
) -> None:
    low, high = getattr(settings, lesser), getattr(settings, greater)
    if quantity(low) * divisor <= quantity(high):
        return
    shown = [human_seconds(each) if isinstance(each, float) else each for each in (low, high)]
    raise ValueError(
        f"{_variable(lesser)} ({shown[0]}) must be at most {part}{_variable(greater)} ({shown[1]}):"
        " lower the first, or raise the second"
    )
