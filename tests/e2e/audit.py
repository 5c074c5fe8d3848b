"""What really happened, by the API server's own log, and what no one may ever read."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import yaml

from local_cluster.process import run
from local_cluster.programs import program
from tests.e2e.harness import NAMESPACE, SLOW, SYSTEM, Harness, Job

ACCOUNT = f"system:serviceaccount:{SYSTEM}:sihl-operator"
_RARE = {("trainingjobs", "get"), ("pods", "get")}  # asked only after a conflict
_LARGEST = 1 << 20


def entries(log: Path) -> Iterator[Job]:
    """Completed requests, of all log files, in no order."""
    for file in log.parent.glob(f"{log.stem}*{log.suffix}"):
        with file.open() as lines:
            for line in lines:
                entry = json.loads(line)
                if entry.get("stage") == "ResponseComplete":
                    yield entry


def granted(harness: Harness) -> set[tuple[str, str]]:
    """(resource, verb) that the chart gives the operator."""
    text = run(program("helm"), f"--kubeconfig={harness.cluster.kubeconfig}", "get", "manifest",
               "sihl", "-n", SYSTEM)  # fmt: skip
    rules = [
        rule
        for document in yaml.safe_load_all(text)
        if document and document["kind"] in ("Role", "ClusterRole")
        for rule in document["rules"]
    ]
    return {(name, verb) for rule in rules for name in rule["resources"] for verb in rule["verbs"]}


def check_permissions(harness: Harness) -> None:
    """The operator asked for nothing that it was not given, and used what it was given."""
    used: set[tuple[str, str]] = set()
    refused: Counter[str] = Counter()
    for entry in entries(harness.cluster.control_plane.audit_log):
        target = entry.get("objectRef")
        if entry["user"]["username"] != ACCOUNT or target is None:
            continue
        parts = (target["resource"], target.get("subresource"))
        asked = ("/".join(part for part in parts if part), entry["verb"])
        if entry["responseStatus"]["code"] == 403:
            refused[" ".join(asked)] += 1
        else:
            used.add(asked)
    assert not refused, f"the operator asked for what it may not have: {refused}"
    may = granted(harness)
    assert used <= may
    assert may - used <= _RARE, "the operator has permissions that it does not use"


def check_secrets(harness: Harness) -> None:
    """No secret's value is in what people read: logs, events, objects, metrics, records."""
    secrets = {
        base64.b64decode(data["secretAccessKey"])
        for namespace in (NAMESPACE, SLOW, SYSTEM)
        for secret in harness.core.list_namespaced_secret(namespace).items
        if "secretAccessKey" in (data := secret.data or {})
    }
    assert secrets
    for where, data in _readable(harness):
        for secret in secrets:
            assert secret not in data, f"a secret access key is in {where}"


def _readable(harness: Harness) -> Iterator[tuple[str, bytes]]:
    kubectl = harness.cluster.kubectl
    for kind in ("trainingjobs", "events", "pods"):
        yield kind, kubectl("get", kind, "--all-namespaces", "-o", "json").encode()
    pods = harness.core.list_pod_for_all_namespaces(label_selector="app.kubernetes.io/part-of=sihl")
    for pod in pods.items:
        name, namespace = pod.metadata.name, pod.metadata.namespace
        yield (
            f"the log of {name}",
            kubectl("logs", name, "-n", namespace, "--all-containers", "--tail=-1").encode(),
        )
    store = harness.store
    for key in store.keys(""):
        if not key.endswith((".safetensors", ".png", ".jpg")):
            yield key, store.get(key)[:_LARGEST]
