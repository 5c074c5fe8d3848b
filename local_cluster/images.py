"""Images built from ordinary Dockerfiles, and the loopback registry that nodes pull them from."""

from __future__ import annotations

import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local_cluster.process import Daemon, follow, run, wait_until
from local_cluster.report import say, step
from local_cluster.settings import REGISTRY, cache_folder

BASE = "docker.io/library/debian:trixie-slim"
"""What the Dockerfiles are FROM: made from Debian's packages where no registry has it."""
_BASE_PACKAGES = "ca-certificates,python3,python3-venv"
PAUSE = "sihl/pause:1"
_MOUNTED = ("/etc/ssl/certs", "/etc/pip.conf")
"""The machine's certificates and pip settings: whatever its network needs, builds need too."""
_NO_DAY = r"sed -i 's/^\([^:]*:[^:]*\):[0-9]*:/\1:1:/' $1/etc/shadow"
"""Takes the day out of the base, on which no account had its password changed."""


@dataclass(frozen=True)
class Images:
    """Builds images and serves them on loopback.

    Args:
        state: The cluster's folder, for the registry's process.
        storage: Where images lie; by default in the cache, which all builds share.
        epoch: No file of the base image is younger, in seconds since 1970; by default they are new.
        architecture: For which machines, in a word that is Debian's and OCI's. Another than this
            machine's needs an emulator that the kernel knows.
    """

    state: Path
    storage: Path | None = None
    epoch: int | None = None
    architecture: str = "amd64"

    @property
    def registry(self) -> Daemon:
        """The registry's process; what it serves lies in the cache and stays there."""
        return Daemon("registry", self.state / "run")

    def start_registry(self) -> None:
        """Serve the cache's images on loopback."""
        storage = cache_folder() / "registry"
        config = self.state / "registry.yaml"
        config.parent.mkdir(parents=True, exist_ok=True)
        port = REGISTRY.rsplit(":", 1)[1]
        config.write_text(
            f"version: 0.1\nlog: {{level: warn}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
            f"storage: {{filesystem: {{rootdirectory: {storage}}}, delete: {{enabled: true}}}}\n"
        )
        hosts = self.state / "certs.d" / REGISTRY / "hosts.toml"
        hosts.parent.mkdir(parents=True, exist_ok=True)
        url = f"http://127.0.0.1:{port}"
        hosts.write_text(f'server = "{url}"\n[host."{url}"]\ncapabilities = ["pull", "resolve"]\n')
        self.registry.start(["docker-registry", "serve", config])
        wait_until(
            lambda: self.registry.require_alive() and _get(f"{url}/v2/") == 200,
            "an image registry", 60, self.registry.log,
        )  # fmt: skip

    def stop(self) -> None:
        """End the registry, and what a build that was killed left mounted."""
        self.registry.stop()
        if (self.state / "buildah").exists():
            self._buildah("rm", "--all")

    def build(
        self,
        tag: str,
        dockerfile: Path,
        context: Path,
        arguments: Mapping[str, str] | None = None,
    ) -> str:
        """Build a Dockerfile and push it; layers are reused.

        Returns:
            The image's reference for pods, `localhost:5000/<tag>`.

        Raises:
            ClusterError: The build failed; names its log.
        """
        reference = self.prepare(tag, dockerfile, context, arguments)
        self._buildah("push", "--tls-verify=false", reference)
        return reference

    def prepare(
        self,
        tag: str,
        dockerfile: Path,
        context: Path,
        arguments: Mapping[str, str] | None = None,
    ) -> str:
        """As `build`, all but the push: needs no registry.

        Args:
            tag: What the image is called.
            dockerfile: How it is built.
            context: The folder that the Dockerfile copies from.
            arguments: The Dockerfile's.

        Raises:
            ClusterError: The build failed; names its log.
        """
        reference = f"{REGISTRY}/{tag}"
        self._ensure_base()
        command: list[str | Path] = [
            "bud", "--layers", "--force-rm", "--isolation", "chroot", "--network", "host",
            "--pull-never", "--platform", f"linux/{self.architecture}",
            "--tag", reference, "--file", dockerfile,
        ]  # fmt: skip
        for path in _MOUNTED:
            if Path(path).exists():
                command += ["--volume", f"{path}:{path}:ro"]
        for name, value in (arguments or {}).items():
            command += ["--build-arg", f"{name}={value}"]
        with step(f"image {tag}"):
            follow(self._command(*command, context), _tell_step)
        return reference

    def save(self, reference: str, folder: Path) -> None:
        """Write an image that `prepare` has built into a folder, in OCI's image layout."""
        self._buildah("push", reference, f"oci:{folder}")

    def ensure_pause(self) -> None:
        """The image of every pod's sandbox, in the registry."""
        name, tag = PAUSE.split(":")
        if _get(f"http://127.0.0.1:{REGISTRY.rsplit(':', 1)[1]}/v2/{name}/manifests/{tag}") == 200:
            return
        with tempfile.TemporaryDirectory() as folder:
            source = Path(__file__).parent / "pause.c"
            run("gcc", "-O2", "-static", "-s", "-o", f"{folder}/pause", source)
            (Path(folder) / "Dockerfile").write_text(
                'FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n'
            )
            reference = f"{REGISTRY}/{PAUSE}"
            self._buildah("bud", "--isolation", "chroot", "--tag", reference, folder)
            self._buildah("push", "--tls-verify=false", reference)

    def _ensure_base(self) -> None:
        if self._buildah("images", "--quiet", "--filter", f"reference={BASE}").strip():
            return
        with step("base image from Debian's packages"), tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "base.tar"
            run(
                "mmdebstrap", "--variant=minbase", f"--include={_BASE_PACKAGES}",
                f"--architectures={self.architecture}", f"--customize-hook={_NO_DAY}",
                "trixie", archive,
                env={} if self.epoch is None else {"SOURCE_DATE_EPOCH": str(self.epoch)},
            )  # fmt: skip
            container = self._buildah("from", "scratch").strip()
            self._buildah("add", container, archive, "/")
            self._buildah("config", "--cmd", "/bin/bash", "--arch", self.architecture, container)
            self._buildah("commit", "--rm", container, BASE)

    def _buildah(self, *arguments: str | Path) -> str:
        return run(*self._command(*arguments), timeout=3600)

    def _command(self, *arguments: str | Path) -> list[str | Path]:
        storage = self.storage or cache_folder() / "buildah"
        return ["buildah", "--root", storage, "--runroot", self.state / "buildah", *arguments]


def _tell_step(line: str) -> None:
    """Of a build's output, what shows how far it is."""
    if line.startswith("STEP "):
        say(f"    {line[:90]}")


def _get(url: str) -> int:
    request = urllib.request.Request(  # noqa: S310 (loopback, http by construction)
        url, headers={"Accept": "application/vnd.oci.image.manifest.v1+json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
