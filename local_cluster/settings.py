"""Where things lie, and the addresses that the cluster takes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

SERVICE_CIDR = "10.96.0.0/16"
KUBERNETES_IP = "10.96.0.1"
DNS_IP = "10.96.0.10"
POD_CIDR = "10.244.0.0/16"
DOMAIN = "cluster.local"
REGISTRY = "localhost:5000"
GPU_RESOURCE = "nvidia.com/gpu"


def cache_folder() -> Path:
    """Everything that outlives a checkout: programs, images, virtual environments."""
    return Path(os.environ.get("SIHL_CACHE") or Path.home() / ".cache" / "sihl")


@dataclass(frozen=True)
class NodeSettings:
    """Names, ports and addresses of the n-th node, counted from 1."""

    number: int

    @property
    def name(self) -> str:
        """As `kubectl get nodes` shows it."""
        return f"node-{self.number}"

    @property
    def bridge(self) -> str:
        """The network device that the node's pods hang on."""
        return f"sihl-{self.number}"

    @property
    def address(self) -> str:
        """The bridge's address: the node's own, and its pods' gateway."""
        return f"10.244.{self.number}.1"

    @property
    def pod_subnet(self) -> str:
        """Addresses of the node's pods."""
        return f"10.244.{self.number}.0/24"

    @property
    def kubelet_port(self) -> int:
        """Where the API server asks for logs and exec."""
        return 10250 + 10 * (self.number - 1)

    @property
    def healthz_port(self) -> int:
        """Where the kubelet says that it is well."""
        return 10248 + 10 * (self.number - 1)
