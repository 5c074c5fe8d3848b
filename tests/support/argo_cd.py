"""A real Argo CD, of which each part is a process beside the tests, on their API server."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from local_cluster.control_plane import free_port
from local_cluster.process import Daemon, run
from local_cluster.programs import program
from tests.gitops.programs import ARGO_CD, crds
from tests.support.waiting import eventually

NAMESPACE = "argocd"
_GROUP, _VERSION = "argoproj.io", "v1alpha1"
_REFRESH = "argocd.argoproj.io/refresh"
_QUIET = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
_AUTHOR = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.com")


class Repository:
    """A Git repository, of which Argo CD reads the branch main."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"file://{folder}"
        folder.mkdir(parents=True)
        self._git("init", "-q", "-b", "main")

    def commit(self, files: dict[str, str | None]) -> str:
        """Write files, remove those of None, and commit; the revision."""
        for name, text in files.items():
            path = self.folder / name
            if text is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self._git("add", "--all")
        self._git(*_AUTHOR, "commit", "-q", "-m", "Another state")
        return self._git("rev-parse", "HEAD").strip()

    def revert(self) -> str:
        """Take the last commit back, as a rollback is done by Git."""
        self._git(*_AUTHOR, "revert", "--no-edit", "HEAD")
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        return run("git", "-C", self.folder, *arguments, env=_QUIET)


class ArgoCD:
    """What a test does with Argo CD, and sees of it."""

    def __init__(self, api: client.ApiClient, kubeconfig: Path, server: int) -> None:
        self._custom = client.CustomObjectsApi(api)
        self._kubeconfig = kubeconfig
        self._server = f"http://127.0.0.1:{server}/api/v1"

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        return run(program("kubectl"), f"--kubeconfig={self._kubeconfig}", *arguments, text=text)

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(objects))

    def serves_its_kinds(self) -> bool:
        """Whether the API server knows what Argo CD asks it for."""
        try:
            for kind in ("applications", "applicationsets", "appprojects"):
                self._custom.list_namespaced_custom_object(_GROUP, _VERSION, NAMESPACE, kind)
        except ApiException:
            return False
        return True

    def application(self, name: str) -> dict[str, Any] | None:
        """An Application, if it is there."""
        where = (_GROUP, _VERSION, NAMESPACE, "applications", name)
        try:
            found: dict[str, Any] = self._custom.get_namespaced_custom_object(*where)
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        return found

    def change(self, name: str, spec: dict[str, Any]) -> None:
        """Change an Application, as who steers it by Git or hand does."""
        where = (_GROUP, _VERSION, NAMESPACE, "applications", name)
        self._custom.patch_namespaced_custom_object(*where, {"spec": spec})

    def look(self, kind: str, name: str) -> None:
        """Have Git looked at now, which is done every few minutes otherwise."""
        mark = "refresh=normal" if kind == "application" else "application-set-refresh=true"
        self.kubectl(
            "annotate", "--overwrite", "-n", NAMESPACE, kind, name, f"argocd.argoproj.io/{mark}"
        )

    def look_again(self, name: str) -> dict[str, Any] | None:
        """An Application, if it is there; has Git looked at unless that is under way.

        A look that is asked for while another ends is taken for done with that one.
        """
        found = self.application(name)
        if found and _REFRESH not in found["metadata"].get("annotations", {}):
            self.look("application", name)
        return found

    def synced(self, name: str, revision: str) -> dict[str, Any]:
        """The Application as soon as a sync of that revision, or later, has succeeded."""

        def there() -> dict[str, Any] | None:
            found = self.look_again(name) or {}
            operation = found.get("status", {}).get("operationState", {})
            result = operation.get("syncResult", {})
            done = (operation.get("phase"), result.get("revision")) == ("Succeeded", revision)
            return found if done else None

        try:
            return eventually(there, 120, 0.2)
        except AssertionError:
            raise AssertionError(json.dumps((self.application(name) or {}).get("status"))) from None

    def compared(self, name: str) -> dict[str, Any]:
        """The Application once it has been compared with Git, and healed where it had to be."""
        self.look("application", name)

        def there() -> dict[str, Any] | None:
            found = self.application(name) or {}
            asked = _REFRESH in found["metadata"].get("annotations", {})
            busy = found["status"].get("operationState", {}).get("phase") == "Running"
            return None if asked or busy else found

        return eventually(there, 60, 0.1)

    def health(self, name: str, wanted: str) -> None:
        """Wait until an Application is as healthy as that."""

        def told() -> str | None:
            status = (self.application(name) or {}).get("status", {})
            found: str | None = status.get("health", {}).get("status")
            return found

        try:
            eventually(lambda: told() == wanted, 60, 0.1)
        except AssertionError:
            raise AssertionError(f"{name} is {told()}, not {wanted}") from None

    def act(self, application: str, namespace: str, job: str, action: str, **given: str) -> None:
        """Run an action on a job, as the pages of Argo CD do."""
        body = {
            "name": application,
            "namespace": namespace,
            "resourceName": job,
            "group": "sihl.ai",
            "version": "v1alpha1",
            "kind": "TrainingJob",
            "action": action,
            "resourceActionParameters": [{"name": n, "value": v} for n, v in given.items()],
        }
        self._ask(f"applications/{application}/resource/actions/v2", body)

    def _ask(self, path: str, body: dict[str, Any]) -> None:
        request = urllib.request.Request(
            f"{self._server}/{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()


@contextmanager
def running(api: client.ApiClient, kubeconfig: Path, folder: Path) -> Iterator[ArgoCD]:
    """Argo CD in a namespace of its own, until the context ends."""
    ports = {name: free_port() for name in ("redis", "repo", "server")}
    argo = ArgoCD(api, kubeconfig, ports["server"])
    _install(argo)
    daemons = _start(kubeconfig, folder, ports)
    try:
        for daemon in daemons:
            assert daemon.require_alive()
        eventually(lambda: _answers(ports["server"]), 120, 0.1)
        yield argo
    finally:
        for daemon in reversed(daemons):
            daemon.stop()


def _install(argo: ArgoCD) -> None:
    """What Argo CD's own manifests bring beside its Deployments."""
    for crd in crds():
        argo.kubectl("create", "-f", str(crd))
    eventually(argo.serves_its_kinds, 60, 0.1)
    part = {"labels": {"app.kubernetes.io/part-of": "argocd"}, "namespace": NAMESPACE}

    def settings(kind: str, name: str, **more: Any) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **part}, **more}

    argo.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        settings("ConfigMap", "argocd-cm", data={"timeout.reconciliation": "10m"}),
        settings("ConfigMap", "argocd-rbac-cm"),
        settings("Secret", "argocd-secret", stringData={"server.secretkey": "of the tests"}),
    )


def _start(kubeconfig: Path, folder: Path, ports: dict[str, int]) -> list[Daemon]:
    """All parts as processes."""
    redis, repo = f"127.0.0.1:{ports['redis']}", f"127.0.0.1:{ports['repo']}"
    (folder / "tmp").mkdir(parents=True)
    env = {
        **_QUIET,
        "ARGOCD_FAKE_IN_CLUSTER": "true",
        "ARGOCD_GPG_ENABLED": "false",
        "ARGOCD_TLS_DATA_PATH": str(folder / "tls"),
        "ARGOCD_SSH_DATA_PATH": str(folder / "ssh"),
        "ARGOCD_PLUGINSOCKFILEPATH": str(folder / "plugins"),
        "KUBECONFIG": str(kubeconfig),
        "TMPDIR": str(folder / "tmp"),
        "HOME": str(folder),
        "PATH": os.pathsep.join(
            [str(program("helm").parent), str(ARGO_CD.folder), os.environ["PATH"]]
        ),
    }

    def part(name: str, *arguments: str) -> Daemon:
        daemon = Daemon(f"argocd-{name}", folder)
        command: list[str | Path] = [program("argocd", [ARGO_CD]), *arguments]
        daemon.start(command, {**env, "ARGOCD_BINARY_NAME": daemon.name})
        return daemon

    cache = Daemon("redis-server", folder)
    cache.start(["redis-server", "--port", str(ports["redis"]), "--bind", "127.0.0.1",
                 "--save", "", "--appendonly", "no"])  # fmt: skip
    local, asks = ("--address", "127.0.0.1"), ("--repo-server", repo, "--redis", redis)
    return [
        cache,
        part("repo-server", *local, "--port", str(ports["repo"]), "--redis", redis,
             "--disable-tls", "--client-ca-path=",
             "--metrics-address", "127.0.0.1", "--metrics-port", str(free_port())),
        part("application-controller", "-n", NAMESPACE, *asks, "--repo-server-plaintext",
             "--self-heal-timeout-seconds", "1", "--metrics-port", str(free_port())),
        part("applicationset-controller", "-n", NAMESPACE, "--argocd-repo-server", repo,
             "--repo-server-plaintext", "--metrics-addr", f"127.0.0.1:{free_port()}",
             "--probe-addr", f"127.0.0.1:{free_port()}",
             "--webhook-addr", f"127.0.0.1:{free_port()}"),
        part("server", "-n", NAMESPACE, *local, "--port", str(ports["server"]), *asks,
             "--repo-server-plaintext", "--insecure", "--disable-auth",
             "--metrics-address", "127.0.0.1", "--metrics-port", str(free_port())),
    ]  # fmt: skip


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
