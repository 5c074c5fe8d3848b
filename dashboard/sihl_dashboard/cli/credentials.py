"""A kubeconfig's user: a token that a file has, or what a credential plugin says.

The client library runs plugins too, but lets them read our standard input, which may be a job's
YAML, fails at a terminal where they do, and goes on without credentials.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sihl_dashboard.cli.errors import CommandError
from sihl_dashboard.cli.terminal import shown

Document = dict[str, Any]

_EXTENSION = "client.authentication.k8s.io/exec"
_OF_CLUSTER = ("server", "tls-server-name", "insecure-skip-tls-verify",
               "certificate-authority-data", "proxy-url", "disable-compression")  # fmt: skip
_EARLY = timedelta(seconds=30)
"""A token is asked for again before it ends."""


def authenticated(user: Document, cluster: Document) -> tuple[Document, Callable[[], str] | None]:
    """The user as the client library takes it, and what tells the token as it is at any time.

    Args:
        user: Of a kubeconfig, with whole paths.
        cluster: Likewise; plugins may ask for it.

    Raises:
        CommandError: there is no token where one should be.
    """
    kept = {name: value for name, value in user.items() if name not in ("exec", "tokenFile")}
    if user.get("tokenFile"):
        kept.pop("token", None)
        return kept, lambda: _of_file(Path(user["tokenFile"]))
    if user.get("token"):
        kept.pop("token")
        return kept, lambda: _checked(str(user["token"]), "the kubeconfig")
    if not user.get("exec"):
        return kept, None
    plugin = _Plugin(user["exec"], cluster)
    status = plugin.status()
    for key in ("Certificate", "Key"):
        if pem := status.get(f"client{key}Data"):
            kept[f"client-{key.lower()}-data"] = base64.b64encode(pem.encode()).decode()
    return kept, plugin.token if status.get("token") else None


def _of_file(file: Path) -> str:
    try:
        return _checked(file.read_text(), str(file))  # anew each time: who wrote it may renew it
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"the token cannot be read ({shown(error)})") from None


def _checked(text: str, where: str) -> str:
    token = text.strip()
    if not token or not all("!" <= each <= "~" for each in token):
        raise CommandError(f"{shown(where)} holds no token: it is one word; log in again")
    return token


class _Plugin:
    """A program that logs one in, as kubectl runs it.

    Args:
        told: The `exec` of a kubeconfig's user.
        cluster: The kubeconfig's.
    """

    def __init__(self, told: Document, cluster: Document) -> None:
        self._told, self._cluster = told, cluster
        self._status: Document = {}
        self._until: datetime | None = None

    @property
    def _name(self) -> str:
        return f"the credential plugin {shown(self._told['command'])}"

    def token(self) -> str:
        """It, while it lasts. Raises CommandError."""
        return _checked(str(self.status().get("token") or ""), f"what {self._name} says")

    def status(self) -> Document:
        """What it said, while that lasts. Raises CommandError."""
        if not self._status or (self._until and datetime.now(UTC) > self._until - _EARLY):
            self._status = self._asked()
            ends = self._status.get("expirationTimestamp")
            self._until = datetime.fromisoformat(ends).astimezone(UTC) if ends else None
        return self._status

    def _asked(self) -> Document:
        mode = self._told.get("interactiveMode") or "IfAvailable"
        # Standard input may be a job's YAML: a terminal alone is the plugin's.
        is_interactive = mode != "Never" and sys.stdin is not None and sys.stdin.isatty()
        if mode == "Always" and not is_interactive:
            raise CommandError(f"{self._name} wants a terminal to log you in at")
        spec: Document = {"interactive": is_interactive}
        if self._told.get("provideClusterInfo"):
            spec["cluster"] = _information(self._cluster)
        version = str(self._told.get("apiVersion") or "")
        told = json.dumps({"apiVersion": version, "kind": "ExecCredential", "spec": spec})
        answer = self._run(is_interactive, told)
        try:
            document = json.loads(answer)
            status = document["status"]
            given = status.get("token") or (
                status.get("clientCertificateData") and status.get("clientKeyData")
            )
        except (ValueError, TypeError, LookupError, AttributeError):
            raise CommandError(f"{self._name} says what is no ExecCredential") from None
        if document.get("apiVersion") != version or not given:
            raise CommandError(
                f"{self._name} says no token and no certificate of version {shown(version)}"
            )
        return dict(status)

    def _run(self, is_interactive: bool, told: str) -> str:
        others = {str(each["name"]): str(each["value"]) for each in self._told.get("env") or []}
        command = [self._told["command"], *map(str, self._told.get("args") or [])]
        try:
            done = subprocess.run(
                command,
                env={**os.environ, **others, "KUBERNETES_EXEC_INFO": told},
                stdin=None if is_interactive else subprocess.DEVNULL,
                stdout=subprocess.PIPE, check=False, text=True,
            )  # fmt: skip
        except OSError as error:
            hint = self._told.get("installHint")
            raise CommandError(
                f"{self._name} cannot be run ({error.strerror})"
                + (f": {shown(hint, 500)}" if hint else "")
            ) from None
        if done.returncode:
            raise CommandError(
                f"{self._name} failed (exit code {done.returncode}): log in again, as for kubectl"
            )
        return done.stdout


def _information(cluster: Document) -> Document:
    """What a plugin may know of the cluster."""
    found = {name: cluster[name] for name in _OF_CLUSTER if name in cluster}
    if file := cluster.get("certificate-authority"):
        found["certificate-authority-data"] = base64.b64encode(Path(file).read_bytes()).decode()
    for extension in cluster.get("extensions") or []:
        if extension.get("name") == _EXTENSION:
            found["config"] = extension.get("extension")
    return found
