"""Datasets of handwritten digits, made once and uploaded through the store's S3 API."""

from __future__ import annotations

import base64
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from demo.chart import NAMESPACE, SYSTEM_NAMESPACE
from demo.cluster import Cluster
from demo.commands import DemoError, say
from examples import digits
from local_cluster.settings import cache_folder

SECRET = "digits-dataset"  # noqa: S105 (a Secret's name)
IMAGES = {"detection": (1000, 150), "classification": (1437, 360)}
"""Of each dataset, to train on and to validate on."""
PREFIX = "datasets"


def made(kind: str) -> Path:
    """The folder of a dataset, which is made once and kept in the cache."""
    folder = cache_folder() / "digits" / kind
    if not folder.exists():
        partial = folder.with_name(f".{kind}")
        train, held_out = IMAGES[kind]
        digits.make(kind, partial, count=train, held_out=held_out)
        partial.rename(folder)
    return folder


def upload(cluster: Cluster) -> None:
    """Upload both datasets with the namespace's own keys, and leave those in a Secret for jobs."""
    secret = cluster.get("secret", "sihl-store", "--namespace", NAMESPACE)["data"]
    store = {name: base64.b64decode(value).decode() for name, value in secret.items()}
    with _reachable(cluster, store["endpoint"]) as endpoint:
        for kind in IMAGES:
            count = digits.upload(
                made(kind), endpoint, store["bucket"], f"{PREFIX}/{kind}",
                store["accessKeyId"], store["secretAccessKey"], store.get("region", "us-east-1"),
            )  # fmt: skip
            say(f"  {kind}: {count} files to s3://{store['bucket']}/{PREFIX}/{kind}")
    keys = {name: store[name] for name in ("accessKeyId", "secretAccessKey")}
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": NAMESPACE},
        "stringData": keys,
    }
    cluster.kubectl("apply", "-f", "-", text=yaml.safe_dump(manifest))


@contextmanager
def _reachable(cluster: Cluster, endpoint: str) -> Iterator[str]:
    """The store's URL from here: its cluster address where that is routed, else a tunnel."""
    port = int(endpoint.rsplit(":", 1)[1].rstrip("/"))
    service = cluster.get("service", "sihl-store", "--namespace", SYSTEM_NAMESPACE)
    address = service["spec"]["clusterIP"]
    if _answers(address, port):
        yield f"http://{address}:{port}"
        return
    tunnel = subprocess.Popen(
        [*cluster.kubectl_command, "port-forward", "--namespace", SYSTEM_NAMESPACE,
         "service/sihl-store", f":{port}"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        line = tunnel.stdout.readline() if tunnel.stdout else ""
        match = re.search(r"127\.0\.0\.1:(\d+)", line)
        if not match:
            raise DemoError(f"kubectl port-forward to the store failed: {line.strip()}")
        yield f"http://127.0.0.1:{match.group(1)}"
    finally:
        tunnel.terminate()
        tunnel.wait()


def _answers(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=2):
            return True
    except OSError:
        return False
