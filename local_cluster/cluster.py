"""The whole cluster, and a control plane alone."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from local_cluster import programs
from local_cluster.control_plane import ControlPlane, free_port
from local_cluster.images import Images
from local_cluster.node import Node, route_pods, unroute_pods
from local_cluster.process import wait_until
from local_cluster.report import say, step
from local_cluster.services import Services
from local_cluster.settings import GPU_RESOURCE, NodeSettings, cache_folder

_API_PORT, _ETCD_PORT = 6443, 2379


class Cluster:
    """Control plane, Services, a registry and nodes, in one folder of the cache."""

    def __init__(self, nodes: int = 2, audit: bool = False) -> None:
        self.state = cache_folder() / "cluster"
        first = NodeSettings(1)
        self.control_plane = ControlPlane(
            self.state, first.address, _API_PORT, _ETCD_PORT, _ETCD_PORT + 1, audit
        )
        self.nodes = [
            Node(NodeSettings(n), self.state / f"node-{n}", self.control_plane)
            for n in range(1, nodes + 1)
        ]
        self.services = Services(self.state, self.control_plane, first.address)
        self.images = Images(self.state)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.control_plane.kubeconfig

    def node(self, name: str) -> Node:
        """A node by its name.

        Raises:
            KeyError: There is none of that name.
        """
        return {node.name: node for node in self.nodes}[name]

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        """The output of kubectl as administrator."""
        return self.control_plane.kubectl(*arguments, text=text)

    def up(self, gpus_per_node: int = 1, beside: Callable[[], None] | None = None) -> None:
        """Start what does not run, wait until both nodes are ready and names are answered.

        Args:
            gpus_per_node: What each node offers.
            beside: Done while programs are built, if any are.

        Raises:
            ClusterError: This machine cannot, or a part does not come up; names its log.
        """
        programs.build(beside)
        with locked(self.state):
            if self.healthy:
                say(f"the local cluster is up: KUBECONFIG={self.kubeconfig}")
                return
            with step("image registry"):
                self.images.start_registry()
                self.images.ensure_pause()
            with step("control plane"):
                route_pods()
                self.control_plane.start()
            with step(f"{len(self.nodes)} nodes"):
                for node in self.nodes:
                    node.start()
                self.services.start()
                for node in self.nodes:
                    self._await_node(node)
                    self.set_gpus(node.name, gpus_per_node)
            say(f"the local cluster is up: KUBECONFIG={self.kubeconfig}")

    def down(self) -> None:
        """End all that `up` started; programs and images stay in the cache."""
        with locked(self.state):
            for node in self.nodes:
                node.stop()
            self.services.stop()
            self.control_plane.stop()
            self.images.stop()
            unroute_pods()
            for path in self.state.iterdir() if self.state.exists() else []:
                if path.is_file() and path.name != "lock":
                    path.unlink()
            for folder in ("etcd", "pki", "run", "certs.d", "buildah"):
                shutil.rmtree(self.state / folder, ignore_errors=True)

    @property
    def healthy(self) -> bool:
        """Whether every part runs and every node is ready."""
        daemons = [
            *self.control_plane.daemons.values(),
            self.services.proxy,
            self.services.dns,
            self.images.registry,
            *(daemon for node in self.nodes for daemon in (node.containerd, node.kubelet)),
        ]
        return (
            all(daemon.alive for daemon in daemons)
            and self.control_plane.ready()
            and all(self.node_ready(node.name) for node in self.nodes)
        )

    def status(self) -> str:
        """A line for each part."""
        lines = [
            f"{name}: {'running' if daemon.alive else 'not running'}"
            for name, daemon in self.control_plane.daemons.items()
        ]
        lines += [
            f"{daemon.name}: {'running' if daemon.alive else 'not running'}"
            for daemon in (self.services.proxy, self.services.dns, self.images.registry)
        ]
        up = self.kubeconfig.exists()
        lines += [
            f"{node.name}: {'ready' if up and self.node_ready(node.name) else 'not ready'}"
            for node in self.nodes
        ]
        return "\n".join(lines)

    def node_ready(self, name: str) -> bool:
        """Whether the API server calls a node ready."""
        listed = json.loads(self.kubectl("get", "nodes", "-o", "json"))["items"]
        return any(
            node["metadata"]["name"] == name
            and any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for condition in node["status"].get("conditions", [])
            )
            for node in listed
        )

    def set_gpus(self, name: str, count: int) -> None:
        """Give a node a number of GPUs that the scheduler then accounts for."""
        path = f"/status/capacity/{GPU_RESOURCE.replace('/', '~1')}"
        change = json.dumps([{"op": "add", "path": path, "value": str(count)}])
        self.kubectl("patch", "node", name, "--subresource=status", "--type=json", "-p", change)
        wait_until(
            lambda: self.gpus(name) == count, f"{count} allocatable GPUs on {name}", 120,
            self.node(name).kubelet.log,
        )  # fmt: skip

    def gpus(self, name: str) -> int:
        """The GPUs that a node offers."""
        node = json.loads(self.kubectl("get", "node", name, "-o", "json"))
        return int(node["status"].get("allocatable", {}).get(GPU_RESOURCE, 0))

    def start_node(self, name: str, gpus: int = 1) -> None:
        """Start a node whose kubelet was stopped, with its GPUs, and wait until it is ready."""
        node = self.node(name)
        node.start()
        self._await_node(node)
        self.set_gpus(name, gpus)

    def _await_node(self, node: Node) -> None:
        wait_until(
            lambda: node.kubelet.require_alive() and self.node_ready(node.name),
            f"{node.name} ready", 180, node.kubelet.log,
        )  # fmt: skip


class ControlPlaneOnly:
    """etcd, API server and controllers without a node, on free ports, for API tests.

    Args:
        state: Its folder.
        authentication: A file for the API server's --authentication-config.
    """

    def __init__(self, state: Path, authentication: Path | None = None) -> None:
        ports = state / "ports.json"
        if not ports.exists():
            state.mkdir(parents=True, exist_ok=True)
            ports.write_text(json.dumps([free_port() for _ in range(3)]))
        self.state = state
        port, etcd, peer = json.loads(ports.read_text())
        self.control_plane = ControlPlane(
            state, None, port, etcd, peer, authentication=authentication
        )

    def up(self) -> Path:
        """Start it; returns the administrator's kubeconfig."""
        programs.build()
        self.control_plane.start()
        return self.control_plane.kubeconfig

    def down(self) -> None:
        """End it and delete its folder."""
        self.control_plane.stop()
        shutil.rmtree(self.state, ignore_errors=True)


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """One `up` or `down` at a time: a second waits for the first."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
