"""etcd, API server, controller manager and scheduler."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field
from pathlib import Path

from local_cluster.pki import Pki
from local_cluster.process import Daemon, run, wait_until
from local_cluster.programs import program
from local_cluster.settings import DOMAIN, KUBERNETES_IP, SERVICE_CIDR

_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "omitManagedFields": True,
    "rules": [
        {
            "level": "Metadata",
            "resources": [
                {"group": "", "resources": ["secrets", "serviceaccounts/token", "events"]},
                {"group": "authentication.k8s.io", "resources": ["tokenreviews"]},
                {"group": "coordination.k8s.io"},
            ],
        },
        {
            "level": "RequestResponse",
            "verbs": ["create", "update", "patch", "delete", "deletecollection"],
        },
        {"level": "Metadata"},
    ],
}
"""What was written, as it then was; of reading, only that it happened. No Secret's content,
no token."""


def free_port() -> int:
    """A TCP port of loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class ControlPlane:
    """The part of a cluster that needs no node.

    Args:
        state: Its folder.
        address: What it advertises to pods; None where there are none.
        port: The API server's.
        etcd_port: etcd's for clients.
        peer_port: etcd's for peers.
        audit: Whether the API server writes its audit log.
        authentication: A file for its --authentication-config.
    """

    state: Path
    address: str | None
    port: int
    etcd_port: int
    peer_port: int
    audit: bool = False
    authentication: Path | None = None
    pki: Pki = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pki", Pki(self.state / "pki"))

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.state / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """What the API server was asked, and what was written; with `audit` only."""
        return self.state / "audit.jsonl"

    @property
    def daemons(self) -> dict[str, Daemon]:
        """By program, in the order of starting."""
        names = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
        return {name: Daemon(name, self.state / "run") for name in names}

    def certificates(self) -> None:
        """Everything signed, and the administrator's kubeconfig written."""
        self.state.mkdir(parents=True, exist_ok=True)
        self.pki.create_ca()
        hosts = ["127.0.0.1", "localhost", KUBERNETES_IP, "kubernetes", "kubernetes.default",
                 "kubernetes.default.svc", f"kubernetes.default.svc.{DOMAIN}"]  # fmt: skip
        if self.address:
            hosts.append(self.address)
        self.pki.issue("apiserver", "/CN=kube-apiserver", tuple(hosts))
        self.pki.issue("apiserver-kubelet", "/O=system:masters/CN=kube-apiserver-kubelet")
        admin = self.pki.kubeconfig("admin", "/O=system:masters/CN=admin", self.server)
        self.kubeconfig.write_text(admin.read_text())

    def start(self) -> None:
        """Start all parts and wait until the API server is ready."""
        self.certificates()
        self.start_etcd()
        self.start_api_server()
        controllers = self.daemons["kube-controller-manager"]
        controllers.start(self._controllers_command())
        kubeconfig = self.pki.kubeconfig("scheduler", "/CN=system:kube-scheduler", self.server)
        self.daemons["kube-scheduler"].start(
            [program("kube-scheduler"), f"--kubeconfig={kubeconfig}", "--leader-elect=false",
             "--secure-port=0", "--kube-api-qps=1000", "--kube-api-burst=2000"]
        )  # fmt: skip
        wait_until(
            lambda: controllers.require_alive() and self._has_default_account(),
            "the default service account", 120, controllers.log,
        )  # fmt: skip

    def start_etcd(self) -> None:
        """Start etcd; it keeps its data over a restart."""
        url, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self.peer_port}"
        self.daemons["etcd"].start(
            [program("etcd"), f"--data-dir={self.state / 'etcd'}", "--unsafe-no-fsync",
             f"--listen-client-urls={url}", f"--advertise-client-urls={url}",
             f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
             f"--initial-cluster=default={peer}", "--log-level=warn"]
        )  # fmt: skip

    def start_api_server(self) -> None:
        """Start the API server and wait until it is ready."""
        server = self.daemons["kube-apiserver"]
        server.start(self._api_server_command())
        wait_until(
            lambda: server.require_alive() and self.ready(), "a ready API server", 180, server.log
        )

    def ready(self) -> bool:
        """Whether the API server says that it is."""
        return self._succeeds("get", "--raw=/readyz")

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        """The output of kubectl as administrator; `text` is its standard input."""
        return run(program("kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments, text=text)

    def stop(self) -> None:
        """End all parts, the last started first."""
        for daemon in reversed(self.daemons.values()):
            daemon.stop()

    def _succeeds(self, *arguments: str) -> bool:
        from local_cluster.errors import ClusterError

        try:
            self.kubectl("--request-timeout=5s", *arguments)
        except ClusterError:
            return False
        return True

    def _has_default_account(self) -> bool:
        return self._succeeds("get", "serviceaccount", "default", "-n", "default")

    def _api_server_command(self) -> list[str | Path]:
        pki = self.pki.folder
        command: list[str | Path] = [
            program("kube-apiserver"),
            f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
            f"--secure-port={self.port}",
            f"--service-cluster-ip-range={SERVICE_CIDR}",
            f"--client-ca-file={self.pki.ca}",
            f"--tls-cert-file={pki / 'apiserver.crt'}",
            f"--tls-private-key-file={pki / 'apiserver.key'}",
            f"--kubelet-client-certificate={pki / 'apiserver-kubelet.crt'}",
            f"--kubelet-client-key={pki / 'apiserver-kubelet.key'}",
            f"--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}",
            f"--service-account-key-file={pki / 'sa.pub'}",
            f"--service-account-signing-key-file={pki / 'sa.key'}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            # Node names do not resolve on this machine.
            "--kubelet-preferred-address-types=InternalIP",
            "--allow-privileged=true",
            "--profiling=false",
        ]
        if self.address:
            # Pods reach the API server only by an address that is not loopback's.
            command += [f"--advertise-address={self.address}"]
        else:
            command += ["--bind-address=127.0.0.1", "--endpoint-reconciler-type=none"]
        if self.audit:
            policy = self.state / "audit-policy.json"
            policy.write_text(json.dumps(_AUDIT_POLICY))
            command += [f"--audit-log-path={self.audit_log}", f"--audit-policy-file={policy}"]
        if self.authentication:
            command += [f"--authentication-config={self.authentication}"]
        return command

    def _controllers_command(self) -> list[str | Path]:
        kubeconfig = self.pki.kubeconfig(
            "controllers", "/CN=system:kube-controller-manager", self.server
        )
        return [
            program("kube-controller-manager"),
            f"--kubeconfig={kubeconfig}",
            f"--service-account-private-key-file={self.pki.folder / 'sa.key'}",
            f"--root-ca-file={self.pki.ca}",
            "--use-service-account-credentials=true",
            "--allocate-node-cidrs=false",
            "--leader-elect=false",
            "--secure-port=0",
        ]
