"""Beside the embedded store, in its pod: makes its keys, and gives each reader a copy.

    python -m sihl_operator.storekeeper

What it needs of RBAC, and nothing more, by the objects' names:
    "" secrets: get patch, of `sihl-store-identities` and `sihl-dashboard-stores` where it runs, and
       of `sihl-store` in each namespace; persistentvolumeclaims: patch, of the store's own
It creates no Secret: who may could make a token of any ServiceAccount. The chart makes them empty.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sihl_api.runtime import STORE_SECRET
from sihl_operator.identities import (
    DASHBOARD,
    EVERYBODY,
    Wanted,
    identities,
    s3_json,
    store_secret,
    stores_json,
)
from sihl_operator.kube import ApiError, KubeApi

log = logging.getLogger(__name__)

IDENTITIES = "sihl-store-identities"
DASHBOARD_SECRET = "sihl-dashboard-stores"  # noqa: S105 (a Secret's name)
ROTATE = "sihl.ai/rotate"
"""An annotation of IDENTITIES: whose keys are to be replaced, by comma, or `all`."""
KEPT = {
    "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
    "helm.sh/resource-policy": "keep",
    "kustomize.toolkit.fluxcd.io/prune": "disabled",
}
"""Of the store's volume, whose annotations a StatefulSet never changes: no tool may prune it."""
_MERGE = "application/merge-patch+json"
_SECONDS = 15.0


@dataclass(frozen=True)
class Post:
    """Where it serves.

    Args:
        wanted: By the chart.
        namespace: Its own.
        file: What SeaweedFS reads.
        claim: Name of the store's PersistentVolumeClaim; empty: it has none.
    """

    wanted: Wanted
    namespace: str
    file: Path
    claim: str = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Post:
        """Raises KeyError or ValueError where the chart did not say what it must."""
        return cls(
            Wanted.parse(environ["SIHL_STORE_WANTED"]),
            environ["SIHL_STORE_NAMESPACE"],
            Path(environ["SIHL_STORE_IDENTITIES"]),
            environ.get("SIHL_STORE_CLAIM", ""),
        )


class SecretsApi(KubeApi):
    """The calls that it makes."""

    async def secret(self, namespace: str, name: str) -> dict[str, Any]:
        """A Secret."""
        return await self._call("GET", _path(namespace, "secrets", name))

    async def patch(self, namespace: str, plural: str, name: str, body: Any) -> None:
        """Merge into an object."""
        await self._write("patch", plural, "PATCH", _path(namespace, plural, name), body, _MERGE)


def _path(namespace: str, plural: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/{plural}/{name}"


async def tend(api: SecretsApi, post: Post) -> None:
    """Make what is missing, and hand it out; nothing is written while nothing changes.

    Raises:
        ApiError: The keys' own Secret cannot be read or written.
        ValueError: It cannot be understood.
    """
    secret = await api.secret(post.namespace, IDENTITIES)
    data = _texts(secret)
    rotate = (secret["metadata"].get("annotations") or {}).get(ROTATE, "")
    rotated = {each.strip() for each in rotate.split(",")} - {""}
    found = identities(post.wanted, data, rotated)
    for name in rotated - found.keys() - {EVERYBODY}:
        log.warning("annotation %s: nobody is called %s: %s", ROTATE, name, ", ".join(found))
    text = s3_json(post.wanted, found)
    if text != data.get("s3.json") or rotate:
        version = secret["metadata"]["resourceVersion"]  # whoever was quicker counts
        metadata = {"resourceVersion": version, "annotations": {ROTATE: None}}
        body = {"metadata": metadata, "data": _encoded({"s3.json": text})}
        await api.patch(post.namespace, "secrets", IDENTITIES, body)
    copies = [(name, STORE_SECRET, store_secret(found[name])) for name in post.wanted.buckets]
    if DASHBOARD in found:
        stores = {"stores.json": stores_json(post.wanted, found[DASHBOARD])}
        copies.append((post.namespace, DASHBOARD_SECRET, stores))
    for namespace, name, texts in copies:
        await _copy(api, namespace, name, texts)
    _write(post.file, text)  # at last: with it the store starts, and is ready


async def _copy(api: SecretsApi, namespace: str, name: str, texts: dict[str, str]) -> None:
    """One reader's trouble is not the others'."""
    try:
        there = _texts(await api.secret(namespace, name))
        if texts.items() <= there.items():
            return
        await api.patch(namespace, "secrets", name, {"data": _encoded(texts)})
        log.info("Secret %s of namespace %s has its keys", name, namespace)
    except ApiError as error:
        log.warning(
            "Secret %s of namespace %s has not its keys, which is tried again: %s; if it is not "
            "there, upgrade or sync the chart, which makes it", name, namespace, error,
        )  # fmt: skip


def _texts(secret: dict[str, Any]) -> dict[str, str]:
    data = secret.get("data") or {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def _encoded(texts: dict[str, str]) -> dict[str, str]:
    return {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}


def _write(file: Path, text: str) -> None:
    """The file is whole at any time, and untouched while it says the same."""
    if file.exists() and file.read_text() == text:
        return
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


async def mark(api: SecretsApi, post: Post) -> None:
    """Keep the store's volume from whatever prunes."""
    if not post.claim:
        return
    body = {"metadata": {"annotations": KEPT}}
    try:
        await api.patch(post.namespace, "persistentvolumeclaims", post.claim, body)
    except ApiError as error:
        log.warning("PersistentVolumeClaim %s is not marked as kept: %s", post.claim, error)


async def serve(post: Post) -> None:
    """Tend until told to end."""
    over = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, over.set)
    async with SecretsApi(lambda _verb, _resource: None) as api:
        await mark(api, post)
        while not over.is_set():
            ready = True
            try:
                await tend(api, post)
            except (ApiError, ValueError) as error:
                ready = post.file.exists()
                log.warning("Secret %s of namespace %s: %s", IDENTITIES, post.namespace, error)
            try:
                await asyncio.wait_for(over.wait(), _SECONDS if ready else 1)
            except TimeoutError:
                continue


def main() -> int:
    """Run until asked to end; 2 where the chart did not say what it must."""
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(message)s")
    try:
        post = Post.from_environment()
    except (KeyError, ValueError) as error:
        print(f"storekeeper: {error!r}: the chart sets it", file=sys.stderr)
        return 2
    asyncio.run(serve(post))
    return 0


if __name__ == "__main__":
    sys.exit(main())
