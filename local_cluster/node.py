"""A node: a containerd and a kubelet with folders, bridge, ports and cgroup of their own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from local_cluster.control_plane import ControlPlane
from local_cluster.errors import ClusterError
from local_cluster.process import Daemon, run, wait_until
from local_cluster.programs import program
from local_cluster.settings import DNS_IP, DOMAIN, POD_CIDR, REGISTRY, NodeSettings

_CGROUPS = Path("/sys/fs/cgroup")
_LOG_LINKS = Path("/var/log/containers")
_KUBELET_CHAINS = ("KUBE-FIREWALL", "KUBE-KUBELET-CANARY", "KUBE-IPTABLES-HINT")


@dataclass(frozen=True)
class Node:
    """One of the cluster's nodes."""

    settings: NodeSettings
    state: Path
    control_plane: ControlPlane

    @property
    def name(self) -> str:
        """As `kubectl get nodes` shows it."""
        return self.settings.name

    @property
    def kubelet_root(self) -> Path:
        """The kubelet's folder: emptyDirs lie in pods/<uid>/volumes/kubernetes.io~empty-dir/."""
        return self.state / "kubelet"

    @property
    def kubelet(self) -> Daemon:
        """The kubelet's process."""
        return Daemon("kubelet", self.state / "run")

    @property
    def containerd(self) -> Daemon:
        """The containerd's process."""
        return Daemon("containerd", self.state / "run")

    @property
    def _socket(self) -> Path:
        return self.state / "run" / "containerd.sock"

    # --- start -------------------------------------------------------------------------------

    def start(self) -> None:
        """Start containerd and kubelet; does not wait for Ready."""
        for folder in ("run", "containerd", "kubelet", "logs", "cni", "plugins"):
            (self.state / folder).mkdir(parents=True, exist_ok=True)
        self._add_bridge()
        self._add_cgroup()
        self._write_cni()
        self.start_containerd()
        self.start_kubelet()

    def start_containerd(self) -> None:
        """Start containerd and wait until it answers."""
        config = self.state / "containerd.toml"
        config.write_text(self._containerd_config())
        # It looks for its shim in PATH.
        path = f"{program('containerd').parent}:{os.environ['PATH']}"
        self.containerd.start([program("containerd"), "--config", config], {"PATH": path})
        wait_until(
            lambda: self.containerd.require_alive() and self._answers(),
            f"containerd of {self.name}", 60, self.containerd.log,
        )  # fmt: skip

    def start_kubelet(self) -> None:
        """Start the kubelet."""
        config = self.state / "kubelet.json"
        config.write_text(json.dumps(self._kubelet_config(), indent=1))
        kubeconfig = self.control_plane.pki.kubeconfig(
            f"kubelet-{self.name}",
            f"/O=system:nodes/CN=system:node:{self.name}",
            self.control_plane.server,
        )
        self.kubelet.start(
            [program("kubelet"), f"--config={config}", f"--kubeconfig={kubeconfig}",
             f"--root-dir={self.kubelet_root}", f"--hostname-override={self.name}",
             f"--node-ip={self.settings.address}", f"--cert-dir={self.state / 'kubelet-pki'}"]
        )  # fmt: skip

    def stop_kubelet(self) -> None:
        """End the kubelet alone: its containers run on, as on a node that lost its network."""
        self.kubelet.stop()

    # --- stop --------------------------------------------------------------------------------

    def stop(self) -> None:
        """End kubelet, containers and containerd, and take away what they left on the machine.

        Pulled images stay in the node's folder, so that the next start pulls nothing.
        """
        self.kubelet.stop()
        if self.containerd.alive:
            self._remove_containers()
        self.containerd.stop()
        unmount_below(self.state)
        for folder in ("kubelet", "logs", "cni", "run", "netns"):
            shutil.rmtree(self.state / folder, ignore_errors=True)
        self._remove_bridge()
        self._remove_cgroup()
        self._remove_log_links()

    def ctr(self, *arguments: str) -> str:
        """The output of ctr on this node's containers."""
        return run(program("ctr"), "-a", self._socket, "-n", "k8s.io", *arguments)

    def _answers(self) -> bool:
        try:
            self.ctr("version")
        except ClusterError:
            return False
        return True

    def _remove_containers(self) -> None:
        tasks = self.ctr("tasks", "ls", "-q").split()
        for task in tasks:
            with contextlib.suppress(ClusterError):
                self.ctr("tasks", "kill", "--all", "--signal", "SIGKILL", task)
        for task in tasks:
            with contextlib.suppress(ClusterError):
                self.ctr("tasks", "delete", "--force", task)
        containers = self.ctr("containers", "ls", "-q").split()
        if containers:
            with contextlib.suppress(ClusterError):
                self.ctr("containers", "delete", *containers)

    # --- network and cgroups -----------------------------------------------------------------

    def _add_bridge(self) -> None:
        bridge, address = self.settings.bridge, f"{self.settings.address}/24"
        if Path(f"/sys/class/net/{bridge}").exists():
            return
        run("ip", "link", "add", bridge, "type", "bridge")
        run("ip", "addr", "add", address, "dev", bridge)
        run("ip", "link", "set", bridge, "up")

    def _remove_bridge(self) -> None:
        """The bridge and what is plugged into it: a killed pod's pair can outlive its namespace."""
        ports = Path(f"/sys/class/net/{self.settings.bridge}/brif")
        for link in [*(port.name for port in ports.glob("*")), self.settings.bridge]:
            subprocess.run(["ip", "link", "delete", link], capture_output=True)

    def _write_cni(self) -> None:
        plugins = [
            {
                "type": "bridge",
                "bridge": self.settings.bridge,
                "isGateway": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(self.state / "cni" / "leases"),
                    "ranges": [[{"subnet": self.settings.pod_subnet}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ]
        path = self.state / "cni" / "10-sihl.conflist"
        path.write_text(json.dumps({"cniVersion": "1.0.0", "name": "sihl", "plugins": plugins}))

    @property
    def _cgroup_folders(self) -> list[Path]:
        name = f"sihl-{self.name}"
        if (_CGROUPS / "cgroup.controllers").exists():
            return [_CGROUPS / name]
        return [
            entry / name
            for entry in sorted(_CGROUPS.iterdir())
            if entry.is_dir() and entry.name != "unified" and not entry.is_symlink()
        ]

    def _add_cgroup(self) -> None:
        if (_CGROUPS / "cgroup.controllers").exists():
            controllers = (_CGROUPS / "cgroup.controllers").read_text().split()
            wanted = " ".join(f"+{name}" for name in controllers)
            (_CGROUPS / "cgroup.subtree_control").write_text(wanted)
        for folder in self._cgroup_folders:
            folder.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):
                # On v1 a cpuset starts empty and takes no process.
                if (folder / name).exists() and not (folder / name).read_text().strip():
                    (folder / name).write_text((folder.parent / name).read_text())

    def _remove_log_links(self) -> None:
        """The kubelet links logs into a folder that no setting moves."""
        for link in _LOG_LINKS.glob("*.log"):
            if link.is_symlink() and link.readlink().is_relative_to(self.state):
                link.unlink()

    def _remove_cgroup(self) -> None:
        # On a machine with both versions runc makes one of version 2 too.
        for folder in {*self._cgroup_folders, _CGROUPS / "unified" / f"sihl-{self.name}"}:
            for path in sorted(folder.rglob("*"), reverse=True) if folder.exists() else []:
                if path.is_dir():
                    with contextlib.suppress(OSError):
                        path.rmdir()
            with contextlib.suppress(OSError):
                folder.rmdir()

    # --- configuration -----------------------------------------------------------------------

    def _containerd_config(self) -> str:
        runtime, images = "io.containerd.cri.v1.runtime", "io.containerd.cri.v1.images"
        return f"""version = 3
root = "{self.state / "containerd"}"
state = "{self.state / "run" / "containerd"}"
disabled_plugins = ["io.containerd.nri.v1.nri"]

[grpc]
address = "{self._socket}"

[ttrpc]
address = "{self._socket}.ttrpc"

[plugins.'{images}']
snapshotter = "overlayfs"

[plugins.'{images}'.pinned_images]
sandbox = "{REGISTRY}/sihl/pause:1"

[plugins.'{images}'.registry]
config_path = "{self.state.parent / "certs.d"}"

[plugins.'{runtime}']
# Without CAP_SYS_RESOURCE no process may lower its score: containers would not start.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true

[plugins.'{runtime}'.cni]
conf_dir = "{self.state / "cni"}"
bin_dirs = ["{program("bridge").parent}"]

[plugins.'{runtime}'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins.'{runtime}'.containerd.runtimes.runc.options]
BinaryName = "{shutil.which("runc")}"
SystemdCgroup = false
"""

    def _kubelet_config(self) -> dict[str, object]:
        resolver = self.state / "resolv.conf"
        resolver.write_text("")
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self.control_plane.pki.ca)},
            },
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": f"unix://{self._socket}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/sihl-{self.name}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "port": self.settings.kubelet_port,
            "healthzPort": self.settings.healthz_port,
            "podLogsDir": str(self.state / "logs"),
            "volumePluginDir": str(self.state / "plugins"),
            "clusterDNS": [DNS_IP],
            "clusterDomain": DOMAIN,
            "resolvConf": str(resolver),
            "maxPods": 100,
            # The machine's disk may be nearly full of other things: only true want evicts.
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "1%",
                "nodefs.inodesFree": "1%",
                "imagefs.available": "1%",
            },
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "shutdownGracePeriod": "0s",
            "registerWithTaints": [],
        }


def unmount_below(folder: Path) -> None:
    """Unmount everything that is mounted below a folder, the deepest first.

    Raises:
        ClusterError: Something cannot be unmounted: what lies there must not be deleted.
    """
    for _ in range(10):  # one mount can hide another of the same path
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        found = [mount for mount in mounts if mount.startswith(f"{folder}/")]
        if not found:
            return
        for mount in sorted(found, key=len, reverse=True):
            path = mount.encode().decode("unicode_escape")
            subprocess.run(["umount", "-l", path], capture_output=True)
    raise ClusterError(f"cannot be unmounted: {', '.join(found)}")


def route_pods() -> None:
    """Let the machine pass packets between the nodes' bridges."""
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    for direction in ("-s", "-d"):
        rule = ["FORWARD", direction, POD_CIDR, "-j", "ACCEPT"]
        if not _iptables("-C", *rule):
            run("iptables", "-I", *rule)


def unroute_pods() -> None:
    """Take back the rules of `route_pods`, and those that kubelets leave behind."""
    for table in ("filter", "mangle", "nat"):
        for chain in _KUBELET_CHAINS:
            for hook in ("INPUT", "OUTPUT"):
                _iptables("-t", table, "-D", hook, "-j", chain)
            _iptables("-t", table, "-F", chain)
            _iptables("-t", table, "-X", chain)
    for direction in ("-s", "-d"):
        _iptables("-D", "FORWARD", direction, POD_CIDR, "-j", "ACCEPT")


def _iptables(*arguments: str) -> bool:
    """Whether it did what was asked: a rule that is not there is no failure."""
    return subprocess.run(["iptables", *arguments], capture_output=True).returncode == 0
