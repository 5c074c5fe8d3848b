"""The keys that a pod's containers are given: those of Secrets, or a token that keys are lent for.

They are files, which follow what is rotated while the pod runs; a Secret's are variables too. Pure.
"""

from __future__ import annotations

from typing import Any

from sihl_api.dataset import Credentials
from sihl_api.runtime import (
    DATASET_KEYS,
    DATASET_OPTIONAL_KEYS,
    DATASET_SECRET_DIRECTORY,
    DATASET_TOKEN_DIRECTORY,
    STORE_KEYS,
    STORE_PLACE_KEYS,
    STORE_SECRET,
    STORE_SECRET_DIRECTORY,
    STORE_TOKEN_DIRECTORY,
    TOKEN_FILE,
    Env,
)
from sihl_operator.settings import Settings
from sihl_operator.views import JobView

_TOKEN_SECONDS = 3600
"""After which the kubelet has made another token long since."""


def volumes(job: JobView, settings: Settings) -> list[dict[str, Any]]:
    """Those of the keys' files."""
    return [*_secret_volumes(job), *_token_volumes(job, settings)]


def with_dataset(container: dict[str, Any], job: JobView, split: str) -> dict[str, Any]:
    """The container with the keys of a dataset's store, or a token that keys are lent for."""
    if secret := _dataset_secret(job, split):
        keys = [
            _from_secret(Env.dataset(key), secret, key, key in DATASET_OPTIONAL_KEYS)
            for key in DATASET_KEYS
        ]
        files = {"name": Env.DATASET_FILES, "value": DATASET_SECRET_DIRECTORY}
        mount = _keys_mount(f"{split}-keys", DATASET_SECRET_DIRECTORY)
        container = {
            **container,
            "env": [*container["env"], *keys, files],
            "volumeMounts": [*container["volumeMounts"], mount],
        }
    if _dataset_audience(job, split):
        container = _with_token(
            container, f"{split}-token", Env.DATASET_IDENTITY, DATASET_TOKEN_DIRECTORY
        )
    return container


def with_store(container: dict[str, Any], job: JobView, settings: Settings) -> dict[str, Any]:
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


def _secret_volumes(job: JobView) -> list[dict[str, Any]]:
    """The Secrets that are named: of the store, and of each split."""
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


def _dataset_secret(job: JobView, split: str) -> str | None:
    credentials = (job.spec["dataset"].get(split) or {}).get("credentials") or {}
    name: str | None = credentials.get("secretName")
    return name


def _with_token(
    container: dict[str, Any], volume: str, variable: str, folder: str
) -> dict[str, Any]:
    """The container with a token that the kubelet renews."""
    return {
        **container,
        "env": [*container["env"], {"name": variable, "value": f"{folder}/{TOKEN_FILE}"}],
        "volumeMounts": [*container["volumeMounts"], _keys_mount(volume, folder)],
    }


def _keys_mount(volume: str, path: str) -> dict[str, Any]:
    return {"name": volume, "mountPath": path, "readOnly": True}


def _from_secret(name: str, secret: str, key: str, optional: bool = False) -> dict[str, Any]:
    reference: dict[str, Any] = {"name": secret, "key": key}
    if optional:
        reference["optional"] = True
    return {"name": name, "valueFrom": {"secretKeyRef": reference}}
