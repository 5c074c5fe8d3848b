"""The chart, installed for the demo."""

from __future__ import annotations

import tempfile
from pathlib import Path

import yaml

from demo.cluster import Cluster
from demo.commands import ROOT, run
from release import packages

CHART = ROOT / "helm"
RELEASE = "sihl-demo"
"""An installation of yours has another name, and helm then refuses to touch it."""
SYSTEM_NAMESPACE = "sihl-system"
NAMESPACE = "digits"
USER = "demo-user"
"""A ServiceAccount that may see and steer the jobs of NAMESPACE: who logs in to the dashboard."""

_LABEL = {"app.kubernetes.io/instance": RELEASE}
_OURS = f"app.kubernetes.io/instance={RELEASE}"


def install(cluster: Cluster, images: dict[str, str]) -> None:
    """Install or upgrade the chart and wait until all of it is ready."""
    _make_namespace(cluster)
    _clear_interrupted(cluster)
    persistent = "true" if cluster.has_storage() else "false"
    values = {
        **_image("operator", images["operator"]),
        **_image("trainer", images["trainer"]),
        **_image("dashboard", images["dashboard"]),
        "operator.settings.allowCpu": "true",
        "operator.resources.requests.cpu": "20m",
        "dashboard.resources.requests.cpu": "20m",
        "store.embedded.resources.requests.cpu": "50m",
        "store.embedded.persistence.enabled": persistent,
        "store.embedded.persistence.size": "5Gi",
        f"namespaces.{NAMESPACE}.create": "true",
    }
    with tempfile.TemporaryDirectory() as folder:
        packaged = packages.chart(Path(cluster.helm_command[0]), CHART, Path(folder))
        _helm(
            cluster, "upgrade", "--install", RELEASE, str(packaged), "--wait", "--timeout", "5m",
            *(part for name, value in values.items() for part in ("--set", f"{name}={value}")),
        )  # fmt: skip
    _make_user(cluster)


def uninstall(cluster: Cluster) -> None:
    """Take away all that `install` brought, with the demo's jobs and their records."""
    if NAMESPACE in _our_namespaces(cluster):
        cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=5m")
    _helm(cluster, "uninstall", RELEASE, "--ignore-not-found", "--wait")
    cluster.kubectl("delete", "customresourcedefinitions", "-l", _OURS, "--timeout=5m")
    cluster.kubectl("delete", "namespaces", "-l", _OURS, "--timeout=5m")


def _make_namespace(cluster: Cluster) -> None:
    """The operator's namespace, labelled as the demo's, unless it is there."""
    name = SYSTEM_NAMESPACE
    if cluster.kubectl("get", "namespace", name, "--ignore-not-found", "-o", "name").strip():
        return
    metadata = {"name": name, "labels": _LABEL}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    cluster.kubectl("apply", "-f", "-", text=yaml.safe_dump(manifest))


def _make_user(cluster: Cluster) -> None:
    """Someone with the cluster's own role `edit` in the jobs' namespace."""
    metadata = {"name": USER, "namespace": NAMESPACE, "labels": _LABEL}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    group = "rbac.authorization.k8s.io"
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "ServiceAccount", "name": USER, "namespace": NAMESPACE}],
    }
    cluster.kubectl("apply", "-f", "-", text=yaml.safe_dump_all([account, binding]))


def _clear_interrupted(cluster: Cluster) -> None:
    """Helm refuses to go on from an installation that was cut off."""
    if RELEASE in _helm(cluster, "list", "--pending", "--short").split():
        _helm(cluster, "uninstall", RELEASE, "--wait")


def _our_namespaces(cluster: Cluster) -> set[str]:
    return {n["metadata"]["name"] for n in cluster.get("namespaces", "-l", _OURS)["items"]}


def _helm(cluster: Cluster, *arguments: str) -> str:
    return run(*cluster.helm_command, *arguments, "--namespace", SYSTEM_NAMESPACE)


def _image(part: str, reference: str) -> dict[str, str]:
    repository, _, tag = reference.rpartition(":")
    return {f"{part}.image.repository": repository, f"{part}.image.tag": tag}
