"""Which cluster is meant, and who one is there: kubeconfigs, read as kubectl reads them.

The client library merges several files in another way, wants a current context where one is named,
knows no pod, and says nothing of a credential plugin that fails.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.config.incluster_config import InClusterConfigLoader

from sihl_dashboard.cli.credentials import authenticated
from sihl_dashboard.cli.errors import CommandError
from sihl_dashboard.cli.terminal import shown

Document = dict[str, Any]

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""What Kubernetes gives each pod."""
_PATHS = {
    "cluster": ("certificate-authority",),
    "user": ("client-certificate", "client-key", "tokenFile"),
    "context": (),
}
# What a file of another shape makes the library and this module stumble over.
_UNUSABLE = (
    config.ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, LookupError,
    AttributeError, RecursionError,
)  # fmt: skip


@dataclass(frozen=True)
class Context:
    """A cluster, and who one is there.

    Attributes:
        namespace: Meant where none is named.
        configuration: The client library's.
    """

    namespace: str
    configuration: Any


@dataclass
class _Merged:
    """Several files as one: whichever says something first is right."""

    clusters: dict[str, Document] = field(default_factory=dict)
    users: dict[str, Document] = field(default_factory=dict)
    contexts: dict[str, Document] = field(default_factory=dict)
    current: str = ""

    def add(self, document: Document, folder: Path) -> None:
        """A file's; its paths are meant from the folder that it lies in."""
        self.current = self.current or str(document.get("current-context") or "")
        for kind in _PATHS:
            known = getattr(self, f"{kind}s")
            for entry in document.get(f"{kind}s") or []:
                known.setdefault(str(entry["name"]), _from(folder, kind, entry.get(kind) or {}))


def chosen_context(environ: Mapping[str, str], kubeconfig: str | None, name: str | None) -> Context:
    """The context that a command is about.

    Args:
        environ: KUBECONFIG counts, as for kubectl: several files, of which some may be missing.
            Without any context, a pod's own account does.
        kubeconfig: The one file that counts instead.
        name: Another context than the current one.

    Raises:
        CommandError: there is no such file or context, or it cannot be used.
    """
    files = list(_files(environ, kubeconfig))
    told = shown(os.pathsep.join(map(str, files)))
    try:
        merged = _Merged()
        for file in files:
            if kubeconfig or file.exists():
                merged.add(yaml.safe_load(file.read_text()) or {}, file.absolute().parent)
        if not (merged.contexts or kubeconfig or name) and _is_pod(environ):
            return _of_pod(environ)
        if not any(file.exists() for file in files):
            raise CommandError(
                f"there is no kubeconfig {told}: give --kubeconfig, or set KUBECONFIG"
            )
        return _of(merged, name, told)
    except _UNUSABLE as error:
        raise CommandError(
            f"the kubeconfig {told} cannot be used ({shown(error, 300)}): give "
            "--kubeconfig and --context, or set KUBECONFIG"
        ) from None


def _files(environ: Mapping[str, str], kubeconfig: str | None) -> Iterator[Path]:
    named = [kubeconfig] if kubeconfig else environ.get("KUBECONFIG", "").split(os.pathsep)
    for path in [path for path in named if path] or ["~/.kube/config"]:
        yield Path(path).expanduser()


def _from(folder: Path, kind: str, entry: Document) -> Document:
    """An entry with its paths made whole."""
    paths: Document = {name: str(folder / entry[name]) for name in _PATHS[kind] if entry.get(name)}
    plugin = entry.get("exec")
    if plugin and os.sep in plugin["command"]:  # else the PATH has it
        paths["exec"] = {**plugin, "command": str(folder / plugin["command"])}
    return {**entry, **paths}


def _of(merged: _Merged, name: str | None, told: str) -> Context:
    name = name or merged.current
    known = shown(", ".join(merged.contexts), 300) or "none"
    if not name:
        raise CommandError(
            f"the kubeconfig {told} has no current context: choose one by --context (it has "
            f"{known})"
        )
    if name not in merged.contexts:
        raise CommandError(
            f"there is no context {shown(name)} in the kubeconfig {told}: it has {known}"
        )
    context = merged.contexts[name]
    cluster = _named(merged.clusters, "cluster", context, name, told)
    user = _named(merged.users, "user", context, name, told) if context.get("user") else {}
    _check(cluster, user, name)
    user, token = authenticated(user, cluster)
    configuration = client.Configuration()
    config.load_kube_config_from_dict(
        {
            "current-context": name,
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": user}],
        },
        client_configuration=configuration,
        persist_config=False,
    )
    if token is not None:
        _bear(configuration, token())
        configuration.refresh_api_key_hook = lambda found: _bear(found, token())
    if not configuration.verify_ssl:  # as the kubeconfig asks; each call would warn of it
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    return Context(str(context.get("namespace") or "default"), configuration)


def _named(
    entries: Mapping[str, Document], kind: str, context: Document, name: str, told: str
) -> Document:
    wanted = str(context.get(kind) or "")
    if wanted not in entries:
        raise CommandError(
            f"the context {shown(name)} names a {kind} {shown(wanted)}, which the kubeconfig "
            f"{told} does not have: choose another --context, or correct it"
        )
    return entries[wanted]


def _check(cluster: Document, user: Document, name: str) -> None:
    """Refuse what would be done in another way than it says. Raises CommandError."""
    if not cluster.get("server"):
        raise CommandError(f"the cluster of the context {shown(name)} has no server: correct it")
    if str(cluster.get("proxy-url") or "http:").partition(":")[0] not in ("http", "https"):
        raise CommandError(
            f"the context {shown(name)} has a proxy {shown(cluster['proxy-url'])}: kubectl sihl "
            "goes by proxies of http and https alone; choose another --context"
        )
    others = [each for each in ("as", "as-uid", "as-groups", "as-user-extra") if user.get(each)]
    if others:
        raise CommandError(
            f"the user of the context {shown(name)} acts as somebody else ({shown(others[0])}), "
            "which kubectl sihl does not: choose another --context"
        )


def _bear(configuration: Any, token: str) -> None:
    # Releases of the client after 36.0 keep it under the first name, earlier ones the second.
    for key in ("BearerToken", "authorization"):
        configuration.api_key[key] = f"Bearer {token}"


def _is_pod(environ: Mapping[str, str]) -> bool:
    return bool(environ.get("KUBERNETES_SERVICE_HOST")) and (SERVICE_ACCOUNT / "token").is_file()


def _of_pod(environ: Mapping[str, str]) -> Context:
    configuration = client.Configuration()
    InClusterConfigLoader(
        str(SERVICE_ACCOUNT / "token"), str(SERVICE_ACCOUNT / "ca.crt"), environ=environ
    ).load_and_set(configuration)
    namespace = SERVICE_ACCOUNT / "namespace"
    return Context(
        namespace.read_text().strip() if namespace.is_file() else "default", configuration
    )
