"""What makes Services work: kube-proxy for their addresses, CoreDNS for their names."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from local_cluster.control_plane import ControlPlane
from local_cluster.process import Daemon, wait_until
from local_cluster.programs import program
from local_cluster.settings import DNS_IP, DOMAIN, POD_CIDR

_DNS_PORT = 5353
_READY_PORT = 8181


@dataclass(frozen=True)
class Services:
    """kube-proxy and CoreDNS, on the machine itself: one of each serves both nodes."""

    state: Path
    control_plane: ControlPlane
    address: str

    @property
    def proxy(self) -> Daemon:
        """kube-proxy's process."""
        return Daemon("kube-proxy", self.state / "run")

    @property
    def dns(self) -> Daemon:
        """CoreDNS's process."""
        return Daemon("coredns", self.state / "run")

    def start(self) -> None:
        """Start both and wait until names are answered."""
        self._start_proxy()
        self._start_dns()
        wait_until(
            lambda: self.dns.require_alive() and self._dns_ready(), "CoreDNS", 60, self.dns.log
        )

    def stop(self) -> None:
        """End both and take away the machine's rules for Services."""
        self.dns.stop()
        self.proxy.stop()
        if (self.state / "kube-proxy.json").exists():
            subprocess.run(
                [str(program("kube-proxy")), "--cleanup"], capture_output=True, timeout=60
            )

    def _start_proxy(self) -> None:
        kubeconfig = self.control_plane.pki.kubeconfig(
            "kube-proxy", "/CN=system:kube-proxy", self.control_plane.server
        )
        config = self.state / "kube-proxy.json"
        config.write_text(
            json.dumps(
                {
                    "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
                    "kind": "KubeProxyConfiguration",
                    "mode": "iptables",
                    "clusterCIDR": POD_CIDR,
                    "hostnameOverride": "node-1",
                    "clientConnection": {"kubeconfig": str(kubeconfig)},
                    "conntrack": {"maxPerCore": 0, "min": 0},
                    # Answers between pods of one bridge must come back through the machine.
                    "iptables": {"masqueradeAll": True, "minSyncPeriod": "200ms"},
                    "healthzBindAddress": "127.0.0.1:10256",
                    "metricsBindAddress": "127.0.0.1:10249",
                },
                indent=1,
            )
        )
        self.proxy.start([program("kube-proxy"), f"--config={config}"])

    def _start_dns(self) -> None:
        kubeconfig = self.control_plane.pki.kubeconfig(
            "coredns", "/O=system:masters/CN=coredns", self.control_plane.server
        )
        corefile = self.state / "Corefile"
        corefile.write_text(
            f".:{_DNS_PORT} {{\n"
            f"  bind {self.address}\n"
            "  errors\n"
            f"  ready 127.0.0.1:{_READY_PORT}\n"
            f"  kubernetes {DOMAIN} in-addr.arpa {{\n"
            f"    kubeconfig {kubeconfig}\n"
            "    ttl 5\n"
            "  }\n"
            "}\n"
        )
        self.dns.start([program("coredns"), "-conf", corefile])
        self.control_plane.kubectl("apply", "-f", "-", text=json.dumps(self._dns_service()))

    def _dns_service(self) -> dict[str, object]:
        metadata = {"name": "kube-dns", "namespace": "kube-system"}
        ports = [
            {"name": "dns", "protocol": "UDP", "port": _DNS_PORT},
            {"name": "dns-tcp", "protocol": "TCP", "port": _DNS_PORT},
        ]
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {
                "clusterIP": DNS_IP,
                "ports": [{**port, "port": 53, "targetPort": _DNS_PORT} for port in ports],
            },
        }
        slices = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**metadata, "labels": {"kubernetes.io/service-name": "kube-dns"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [self.address], "conditions": {"ready": True}}],
            "ports": ports,
        }
        return {"apiVersion": "v1", "kind": "List", "items": [service, slices]}

    def _dns_ready(self) -> bool:
        import urllib.error
        import urllib.request

        try:
            url = f"http://127.0.0.1:{_READY_PORT}/ready"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
