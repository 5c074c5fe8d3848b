"""A real Kubernetes on one Debian machine, where no container engine is to be had.

etcd, API server, controllers, scheduler, kube-proxy, CoreDNS, an image registry, and two nodes with
a kubelet and a containerd each, built from their Go modules once and kept in a cache.

    python -m local_cluster up          # and: down, status, kubeconfig, build, image build, ...

In Python:

    cluster = Cluster()                 # state and cache where the settings say
    cluster.up()
    cluster.kubeconfig                  # Path
    cluster.node("node-2").stop_kubelet()
    cluster.images.build("sihl-trainer:dev", Path("trainer_image/Dockerfile"), Path("."))
"""

from local_cluster.cluster import Cluster, ControlPlaneOnly
from local_cluster.errors import ClusterError

__all__ = ["Cluster", "ClusterError", "ControlPlaneOnly"]
