"""A Service of the cluster reached from here, by `kubectl port-forward`."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from sihl_dashboard.cli.errors import CommandError
from sihl_dashboard.cli.terminal import shown

_PATIENCE = 20.0
_PAUSE = 1.0


@dataclass(frozen=True)
class Service:
    """What an address within the cluster names."""

    name: str
    namespace: str
    port: int
    scheme: str


def is_within(endpoint: str) -> bool:
    """Whether an address is one that only a cluster's own pods know."""
    host = urlsplit(endpoint).hostname or ""
    return host.endswith((".svc", ".cluster.local")) or ("." not in host and host != "localhost")


def service_of(endpoint: str) -> Service | None:
    """The Service of an address such as http://sihl-store.sihl-system.svc:8333, or None."""
    with suppress(ValueError):
        url = urlsplit(endpoint)
        match (url.hostname or "").removesuffix(".cluster.local").split("."):
            case [name, namespace, "svc"] if name and namespace:
                port = url.port or (443 if url.scheme == "https" else 80)
                return Service(name, namespace, port, url.scheme)
    return None


def is_known_here(endpoint: str) -> bool:
    """Whether this machine knows the address: within a pod it does."""
    try:
        return bool(socket.getaddrinfo(urlsplit(endpoint).hostname, None))
    except (OSError, UnicodeError):
        return False


class Forward:
    """A port of this machine that leads to a Service, until it is closed.

    Args:
        service: Which.
        options: kubectl's own: which kubeconfig, which context.
        environ: KUBECONFIG and PATH count.

    Raises:
        CommandError: it cannot be, with what kubectl said.
    """

    def __init__(
        self, service: Service, options: Sequence[str], environ: Mapping[str, str]
    ) -> None:
        program = shutil.which("kubectl", path=environ.get("PATH"))
        if program is None:
            raise CommandError("there is no kubectl on the PATH")
        self._command = [
            program, *options, "-n", service.namespace, "port-forward",
            f"service/{service.name}",
        ]  # fmt: skip
        self._environ = dict(environ)
        self._service = service
        self._over = threading.Event()
        self._process, self._port = self._begun(f":{service.port}")
        threading.Thread(target=self._keep, daemon=True).start()

    @property
    def endpoint(self) -> str:
        """The address from here."""
        return f"{self._service.scheme}://127.0.0.1:{self._port}"

    def close(self) -> None:
        """End it."""
        self._over.set()
        self._process.kill()
        self._process.wait()

    def _begun(self, ports: str) -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen(
            [*self._command, ports], env=self._environ, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the command, which ends this one in its time
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        timer = threading.Timer(_PATIENCE, process.kill)
        timer.start()
        try:
            line = process.stdout.readline()  # Forwarding from 127.0.0.1:40123 -> 8333
        finally:
            timer.cancel()
        port = line.partition(" -> ")[0].rpartition(":")[2]
        if not port.isdecimal():
            process.kill()
            told = process.stderr.read().strip().splitlines()
            process.wait()
            raise CommandError(shown(told[-1] if told else "kubectl said nothing"))
        for pipe in (process.stdout, process.stderr):
            threading.Thread(target=_drained, args=(pipe,), daemon=True).start()
        return process, int(port)

    def _keep(self) -> None:
        """Begin again when it ends: it leads to one pod, and a pod does not live for ever."""
        while not self._over.is_set():
            self._process.wait()
            if self._over.wait(_PAUSE):
                return
            with suppress(CommandError):
                self._process, _ = self._begun(f"{self._port}:{self._service.port}")
                if self._over.is_set():
                    self._process.kill()


def _drained(pipe: object) -> None:
    with suppress(ValueError, OSError):
        for _ in pipe:  # type: ignore[attr-defined]
            pass
