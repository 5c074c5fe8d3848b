"""Keeps the cluster's picture current: lists and watches jobs, nodes and pods in the background."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sihl_api.text import shortened
from sihl_api.trainingjob import API_VERSION, PLURAL
from sihl_dashboard.server.cluster import Cluster
from sihl_dashboard.server.kube import Kube, KubeError

log = logging.getLogger("sihl.dashboard")

Document = dict[str, Any]
_PATHS = {
    "job": f"/apis/{API_VERSION}/{{namespace}}{PLURAL}",
    "node": "/api/v1/nodes",
    "pod": "/api/v1/{namespace}pods",
}
_RELIST = 600.0
_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_UNGRANTED = 300.0
_NAMES = {"job": "training jobs", "node": "nodes", "pod": "pods"}


@asynccontextmanager
async def mirrored(
    kube: Kube, cluster: Cluster, namespaces: tuple[str, ...] = ()
) -> AsyncIterator[None]:
    """As long as the context lasts, what happens in the cluster is seen.

    Args:
        kube: The API server.
        cluster: Takes in what is seen.
        namespaces: Whose jobs; empty: all.
    """
    wanted = [("job", name) for name in namespaces or ("",)] + [("node", ""), ("pod", "")]
    tasks = [asyncio.create_task(_follow(kube, cluster, *each)) for each in wanted]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _follow(kube: Kube, cluster: Cluster, kind: str, namespace: str) -> None:
    path = _PATHS[kind].format(namespace=f"namespaces/{namespace}/" if namespace else "")
    key = f"{kind} {namespace}"
    pause = _PAUSE
    while True:
        try:
            await _once(kube, cluster, kind, namespace, path, key)
            pause = _PAUSE
        except KubeError as error:
            if error.status == 410:
                continue
            if error.status in (401, 403) and kind != "job":
                # GPUs by node are extra: an installation for some namespaces may not see them.
                await asyncio.sleep(_UNGRANTED)
                continue
            told = shortened(error.message, 300) or error.reason
            cluster.trouble_with(key, f"{_NAMES[kind]} as of a while ago: the API server ({told})")
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            pause = min(2 * pause, _LONGEST_PAUSE)
        except Exception:
            log.exception("watching %s failed", kind)
            await asyncio.sleep(_LONGEST_PAUSE)


async def _once(
    kube: Kube, cluster: Cluster, kind: str, namespace: str, path: str, key: str
) -> None:
    """List, then watch until it is time to list again: a watch can lie. Raises KubeError."""
    items, version = await kube.list_all(path)
    cluster.replace(kind, items, namespace)
    cluster.trouble_with(key, None)
    latest = [version]
    until = time.monotonic() + _RELIST
    while time.monotonic() < until:
        await kube.watch(path, latest[0], _see(cluster, kind, latest))


def _see(cluster: Cluster, kind: str, latest: list[str]) -> Callable[[str, Document], None]:
    def see(what: str, raw: Document) -> None:
        latest[0] = str((raw.get("metadata") or {}).get("resourceVersion") or latest[0])
        if what != "BOOKMARK":
            cluster.see(kind, what, raw)

    return see
