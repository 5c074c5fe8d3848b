"""Nodes whose kubelet is the test: it says when a pod runs, ends and goes."""

from __future__ import annotations

import threading
from typing import Any

from kubernetes import client

from sihl_api.runtime import Result
from sihl_api.times import now

HEARTBEAT_SECONDS = 5.0
_ROOM = {"cpu": "64", "memory": "256Gi", "pods": "110", "ephemeral-storage": "1Ti"}


class HandKubelet:
    """Nodes that stay ready, and pods on them that do what the test says.

    Use as a context manager: the nodes' heartbeats come from a thread of its own.

    Args:
        api: The API server's client.
        nodes: Names of nodes, and how many GPUs each has.
        room: What each has beside them.
    """

    def __init__(
        self, api: client.ApiClient, nodes: dict[str, int], room: dict[str, str] | None = None
    ) -> None:
        self._core = client.CoreV1Api(api)
        self._nodes = nodes
        self._room = room or _ROOM
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> HandKubelet:
        for name in self._nodes:
            self._core.create_node({"metadata": {"name": name}})
        self._report()
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._heart.join()
        for name in self._nodes:
            self._core.delete_node(name)

    def runs(self, pod: Any, address: str = "127.0.0.1") -> None:
        """The dataset is there and the trainer runs, at an address of this machine."""
        self._say(pod, "Running", {"running": {"startedAt": now()}}, address)

    def ends(self, pod: Any, code: int, result: Result | None = None) -> None:
        """The trainer ended."""
        terminated: dict[str, Any] = {"exitCode": code, "reason": "Error" if code else "Completed"}
        if result is not None:
            terminated["message"] = result.encode().decode()
        self._say(pod, "Failed" if code else "Succeeded", {"terminated": terminated})

    def removes(self, pod: Any) -> None:
        """The last act of a kubelet: a pod that was deleted and has ended is gone."""
        self._core.delete_namespaced_pod(
            pod.metadata.name, pod.metadata.namespace, grace_period_seconds=0
        )

    def _say(self, pod: Any, phase: str, state: dict[str, Any], address: str = "127.0.0.1") -> None:
        def container(name: str, state: dict[str, Any]) -> dict[str, Any]:
            return {
                "name": name,
                "state": state,
                "image": "trainer",
                "imageID": "",
                "ready": "running" in state,
                "restartCount": 0,
            }

        fetched = {"terminated": {"exitCode": 0, "reason": "Completed"}}
        status = {
            "phase": phase,
            "podIP": address,
            "podIPs": [{"ip": address}],
            "initContainerStatuses": [
                container(init.name, fetched) for init in pod.spec.init_containers or []
            ],
            "containerStatuses": [container(c.name, state) for c in pod.spec.containers],
        }
        self._core.patch_namespaced_pod_status(
            pod.metadata.name, pod.metadata.namespace, {"status": status}
        )

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT_SECONDS):
            self._report()

    def _report(self) -> None:
        for name, gpus in self._nodes.items():
            room = {**self._room, "nvidia.com/gpu": str(gpus)}
            ready = {
                "type": "Ready", "status": "True", "reason": "Test", "message": "",
                "lastHeartbeatTime": now(),
            }  # fmt: skip
            status = {"capacity": room, "allocatable": room, "conditions": [ready]}
            self._core.patch_node_status(name, {"status": status})
