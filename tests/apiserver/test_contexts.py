"""`kubectl sihl` reaches the cluster that kubectl reaches, as the same user, by any kubeconfig."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from kubernetes import client

from local_cluster import programs
from local_cluster.control_plane import free_port
from sihl_api.trainingjob import API_VERSION, PLURAL
from sihl_dashboard.cli import contexts
from sihl_dashboard.cli.contexts import chosen_context
from sihl_dashboard.server.kube import Kube
from tests.support.operators import Team, new_team
from tests.support.typed import Typing

Document = dict[str, Any]


@dataclass(frozen=True)
class Ground:
    """A namespace with one job, and what a kubeconfig says to reach it."""

    namespace: str
    cluster: Document
    admin: Document
    token: str

    @property
    def context(self) -> Document:
        """Of its cluster, by the user `u`."""
        return {"cluster": "right", "user": "u", "namespace": self.namespace}

    def document(self, user: Document, **changes: Any) -> Document:
        """A kubeconfig's; its current context is of a cluster that is away."""
        away = {"server": f"https://127.0.0.1:{free_port()}", "insecure-skip-tls-verify": True}
        return {
            "apiVersion": "v1", "kind": "Config", "current-context": "right",
            "clusters": [{"name": "right", "cluster": self.cluster},
                         {"name": "away", "cluster": away}],
            "contexts": [{"name": "right", "context": self.context},
                         {"name": "wrong", "context": {"cluster": "away", "user": "u"}}],
            "users": [{"name": "u", "user": user}],
            **changes,
        }  # fmt: skip


@pytest.fixture(scope="module")
def ground(api: client.ApiClient, kubeconfig: Path) -> Iterator[Ground]:
    admin = yaml.safe_load(kubeconfig.read_text())
    with new_team(api, "contexts") as team:
        team.submit("night")
        yield Ground(
            team.namespace,
            admin["clusters"][0]["cluster"],
            admin["users"][0]["user"],
            viewer(api, team),
        )


def viewer(api: client.ApiClient, team: Team) -> str:
    """The token of one who may list the namespace's jobs, and nothing else."""
    rbac, metadata = client.RbacAuthorizationV1Api(api), {"name": "viewer"}
    rule = {"apiGroups": ["sihl.ai"], "resources": [PLURAL], "verbs": ["list"]}
    team.core.create_namespaced_service_account(team.namespace, {"metadata": metadata})
    rbac.create_namespaced_role(team.namespace, {"metadata": metadata, "rules": [rule]})
    subject = {"kind": "ServiceAccount", "name": "viewer", "namespace": team.namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "viewer"}
    rbac.create_namespaced_role_binding(
        team.namespace, {"metadata": metadata, "roleRef": role, "subjects": [subject]}
    )
    made = team.core.create_namespaced_service_account_token("viewer", team.namespace, {"spec": {}})
    return str(made.status.token)


def plugin(folder: Path, status: Document) -> Document:
    """A user whom a program beside the kubeconfig logs in; it reads its standard input first."""
    version = "client.authentication.k8s.io/v1"
    said = {"apiVersion": version, "kind": "ExecCredential", "status": status}
    (folder / "said").write_text(json.dumps(said))
    script = folder / "login"
    script.write_text('#!/bin/sh\ncat > /dev/null\ntest "$OF" = test && exec cat "$1"\n')
    script.chmod(0o755)
    return {
        "exec": {
            "apiVersion": version, "interactiveMode": "IfAvailable", "command": "./login",
            "args": [str(folder / "said")], "env": [{"name": "OF", "value": "test"}],
        }
    }  # fmt: skip


# --- kubeconfigs, by what is special of them: each writes one, and returns the words to type -----

Told = tuple[list[Path], list[str]]


def another_context(ground: Ground, folder: Path) -> Told:
    """The current one is of a cluster that is away."""
    found = ground.document({"token": ground.token}, **{"current-context": "wrong"})
    return [written(folder, found)], ["--context", "right"]


def no_current_context(ground: Ground, folder: Path) -> Told:
    found = ground.document({"token": ground.token}, **{"current-context": ""})
    return [written(folder, found)], ["--context", "right"]


def several_files(ground: Ground, folder: Path) -> Told:
    """The first has no cluster, one is not there, the last says other things."""
    whole = ground.document({"token": ground.token})
    other = ground.document({"token": "no"}, **{"current-context": "wrong"})
    first = {name: whole[name] for name in ("contexts", "current-context")}
    rest = {name: whole[name] for name in ("clusters", "users")}
    names = (("a", first), ("b", rest), ("c", other))
    files = [written(folder, document, name) for name, document in names]
    return [files[0], folder / "nowhere", *files[1:]], []


def token_file(ground: Ground, folder: Path) -> Told:
    """Meant from where the kubeconfig lies, and it ends with a line break."""
    (folder / "token").write_text(f"{ground.token}\n")
    return [written(folder, ground.document({"tokenFile": "token"}))], []


def plugin_with_a_token(ground: Ground, folder: Path) -> Told:
    return [written(folder, ground.document(plugin(folder, {"token": ground.token})))], []


def plugin_with_a_certificate(ground: Ground, folder: Path) -> Told:
    names = {"Certificate": "client-certificate", "Key": "client-key"}
    pem = {f"client{a}Data": Path(ground.admin[b]).read_text() for a, b in names.items()}
    return [written(folder, ground.document(plugin(folder, pem)))], []


def certificates_in_the_file(ground: Ground, folder: Path) -> Told:
    """In place of paths."""
    user = {f"{name}-data": encoded(path) for name, path in ground.admin.items()}
    authority = encoded(ground.cluster["certificate-authority"])
    cluster = {"server": ground.cluster["server"], "certificate-authority-data": authority}
    found = ground.document(user)
    found["clusters"] = [{"name": "right", "cluster": cluster}]
    return [written(folder, found)], []


def unverified(ground: Ground, folder: Path) -> Told:
    found = ground.document({"token": ground.token})
    cluster = {"server": ground.cluster["server"], "insecure-skip-tls-verify": True}
    found["clusters"] = [{"name": "right", "cluster": cluster}]
    return [written(folder, found)], []


def by_a_proxy(ground: Ground, folder: Path) -> Told:
    """Which alone knows the server, whose certificate has another name."""
    port = urlsplit(ground.cluster["server"]).port
    found = ground.document({"token": ground.token})
    way = {"tls-server-name": "kubernetes", "proxy-url": (folder / "proxy").read_text()}
    cluster = {**ground.cluster, **way, "server": f"https://elsewhere.invalid:{port}"}
    found["clusters"] = [{"name": "right", "cluster": cluster}]
    return [written(folder, found)], []


FORMS = (another_context, no_current_context, several_files, token_file, plugin_with_a_token,
         plugin_with_a_certificate, certificates_in_the_file, unverified, by_a_proxy)  # fmt: skip


def written(folder: Path, document: Document, name: str = "config") -> Path:
    file = folder / name
    file.write_text(yaml.safe_dump(document))
    return file


def encoded(path: str) -> str:
    return base64.b64encode(Path(path).read_bytes()).decode()


@contextmanager
def proxy() -> Iterator[str]:
    """One that connects to a port of this machine, whatever the name was."""
    listener = socket.create_server(("127.0.0.1", 0))

    def pumped(source: socket.socket, to: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            to.close()

    def serve(accepted: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += accepted.recv(1 << 16)
        method, where, _ = head.split(b" ", 2)
        assert method == b"CONNECT"
        there = socket.create_connection(("127.0.0.1", int(where.rpartition(b":")[2])))
        accepted.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for pair in ((accepted, there), (there, accepted)):
            threading.Thread(target=pumped, args=pair, daemon=True).start()

    def accept() -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(accepted,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


# --- what is asked by each ------------------------------------------------------------------


async def listed(configuration: Any, namespace: str) -> list[str]:
    """Jobs, as `kubectl sihl ui` asks for them."""
    async with Kube(configuration) as kube:
        jobs, _ = await kube.list_all(f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURAL}")
    return [job["metadata"]["name"] for job in jobs]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
@pytest.mark.filterwarnings("error::urllib3.exceptions.InsecureRequestWarning")
def test_the_jobs_are_those_that_kubectl_lists(
    ground: Ground, tmp_path: Path, form: Callable[[Ground, Path], Told]
) -> None:
    with proxy() as address:
        (tmp_path / "proxy").write_text(address)
        files, words = form(ground, tmp_path)
        environ = {"KUBECONFIG": os.pathsep.join(map(str, files)), "HOME": str(tmp_path)}
        done = subprocess.run(
            [programs.program("kubectl"), "get", PLURAL, "-o", "name", *words],
            env={**os.environ, **environ}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        assert (done.stdout, done.stderr) == ("trainingjob.sihl.ai/night\n", "")
        typing = Typing(files[0], "")
        typing.environ |= environ
        assert typing("list", "-o", "name", *words) == (0, done.stdout, "")
        assert "default" in typing("list", "-n", "default", *words)[2]  # none, or refused
        found = chosen_context(environ, None, words[-1] if words else None)
        assert asyncio.run(listed(found.configuration, found.namespace)) == ["night"]


def test_in_a_pod_its_own_account_counts_where_there_is_no_kubeconfig(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = urlsplit(ground.cluster["server"])
    (tmp_path / "token").write_text(ground.token)
    (tmp_path / "namespace").write_text(ground.namespace)
    (tmp_path / "ca.crt").write_text(Path(ground.cluster["certificate-authority"]).read_text())
    monkeypatch.setattr(contexts, "SERVICE_ACCOUNT", tmp_path)
    typing = Typing(tmp_path / "nowhere", "")
    del typing.environ["KUBECONFIG"]
    typing.environ["KUBERNETES_SERVICE_HOST"] = str(server.hostname)
    typing.environ["KUBERNETES_SERVICE_PORT"] = str(server.port)
    assert typing("list", "-o", "name") == (0, "trainingjob.sihl.ai/night\n", "")
    found = written(tmp_path, ground.document({"token": "another"}))
    assert typing("list", "--kubeconfig", str(found))[0] == 1
