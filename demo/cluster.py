"""Which cluster the demo runs on, and how it is reached."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import local_cluster
from demo.commands import ROOT, DemoError, run, say, show, succeeds
from local_cluster import programs
from local_cluster.settings import GPU_RESOURCE

KIND_NAME = "sihl"
Kind = Literal["given", "kind", "local"]


@dataclass(frozen=True)
class Cluster:
    """A cluster that answers.

    Args:
        kind: given by CONTEXT, made by kind, or by local_cluster.
        context: The kubeconfig's context; empty with `local`.
        kubeconfig: Path; empty: where kubectl looks by itself.
        started: Whether the demo started it, and so may take it down.
    """

    kind: Kind
    context: str
    kubeconfig: str
    started: bool

    def kubectl(self, *arguments: str | Path, text: str | None = None) -> str:
        """The output of kubectl."""
        return run(*self.kubectl_command, *arguments, text=text)

    def get(self, *arguments: str) -> dict[str, Any]:
        """What `kubectl get ... -o json` answers."""
        answer: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return answer

    @property
    def kubectl_command(self) -> list[str]:
        """Kubectl with the options that reach this cluster."""
        options = [f"--kubeconfig={self.kubeconfig}"] if self.kubeconfig else []
        options += [f"--context={self.context}"] if self.context else []
        return [tool("kubectl"), *options]

    @property
    def helm_command(self) -> list[str]:
        """Helm with the options that reach this cluster."""
        options = [f"--kubeconfig={self.kubeconfig}"] if self.kubeconfig else []
        options += [f"--kube-context={self.context}"] if self.context else []
        return [tool("helm"), *options]

    @property
    def answers(self) -> bool:
        """Whether its API server does."""
        return succeeds(*self.kubectl_command, "version", "--request-timeout=20s")

    def gpus(self) -> int:
        """GPUs that its nodes offer."""
        nodes = self.get("nodes")["items"]
        return sum(int(node["status"]["allocatable"].get(GPU_RESOURCE, 0)) for node in nodes)

    def has_storage(self) -> bool:
        """Whether a volume claim that names no class is served."""
        mark = "storageclass.kubernetes.io/is-default-class"
        classes = self.get("storageclasses")["items"]
        return any(c["metadata"].get("annotations", {}).get(mark) == "true" for c in classes)


def tool(name: str) -> str:
    """Kubectl or helm: the one that local_cluster built, else the machine's.

    Raises:
        DemoError: There is neither.
    """
    built = programs.program(name)
    found = str(built) if built.exists() else shutil.which(name)
    if not found:
        raise DemoError(f"{name} is missing: install it, or `python -m local_cluster build`")
    return found


def can_be_local() -> str | None:
    """What keeps local_cluster from running here, or None."""
    return programs.unsuitable(
        sys.platform, platform.machine(), os.geteuid(), shutil.which("apt-get") is not None
    )


def kind_lacks() -> str | None:
    """What keeps kind from running here, or None. Podman is none of its stable providers."""
    if not succeeds("docker", "info"):
        return "docker does not run here"
    if not shutil.which("kind"):
        return "docker runs here, but kind is missing (https://kind.sigs.k8s.io)"
    return None


def choose(context: str | None) -> Cluster | None:
    """The cluster to use, which `start` starts if need be; None where there can be none.

    Args:
        context: Of a cluster that is there.

    Raises:
        DemoError: It was named but does not answer.
    """
    if context:
        return _given(context)
    lacking = kind_lacks()
    if lacking is None:
        there = KIND_NAME in run("kind", "get", "clusters").split()
        return Cluster("kind", f"kind-{KIND_NAME}", _kubeconfig(), started=not there)
    problem = can_be_local()
    if problem:
        say(f"No cluster: {lacking}, and {problem}")
        return None
    say(f"Without kind ({lacking}): a cluster by local_cluster")
    local = local_cluster.Cluster()
    there = local.kubeconfig.exists() and local.healthy
    return Cluster("local", "", str(local.kubeconfig), started=not there)


def start(cluster: Cluster, beside: Callable[[], None]) -> None:
    """Start a chosen cluster, unless it runs.

    Args:
        cluster: The one that was chosen.
        beside: Done meanwhile, where starting takes minutes.

    Raises:
        DemoError: It does not come up.
    """
    if cluster.kind == "kind":
        _start_kind(cluster)
    elif cluster.kind == "local":
        local_cluster.Cluster().up(beside=beside)


def _given(context: str) -> Cluster:
    cluster = Cluster("given", context, _kubeconfig(), started=False)
    if not cluster.answers:
        raise DemoError(f"the cluster of CONTEXT={context} does not answer `kubectl version`")
    return cluster


def _kubeconfig() -> str:
    """KUBECONFIG, where it names one file: more than one, kubectl takes from there only."""
    given = os.environ.get("KUBECONFIG", "")
    return "" if os.pathsep in given else given


def _start_kind(cluster: Cluster) -> None:
    if cluster.started:
        config = ROOT / "kind-config.yaml"
        show("kind", "create", "cluster", "--name", KIND_NAME, "--config", config)
    # The scheduler accounts for these as for real ones; the jobs train on the CPU.
    path = f"/status/capacity/{GPU_RESOURCE.replace('/', '~1')}"
    change = json.dumps([{"op": "add", "path": path, "value": "2"}])
    for node in cluster.get("nodes")["items"]:
        name = node["metadata"]["name"]
        cluster.kubectl(
            "patch", "node", name, "--subresource=status", "--type=json", "-p", change
        )  # fmt: skip


def stop(cluster: Cluster) -> None:
    """Take down a cluster that the demo started."""
    if not cluster.started:
        return
    if cluster.kind == "kind":
        show("kind", "delete", "cluster", "--name", KIND_NAME)
    elif cluster.kind == "local":
        local_cluster.Cluster().down()
