"""Replicas of the operator as processes, and the namespaces of those who use it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from local_cluster.control_plane import free_port
from sihl_api.trainingjob import GROUP, PLURAL, VERSION
from tests.support.objects import SPEC
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]


class Process:
    """One replica of the operator."""

    def __init__(
        self, identity: str, kubeconfig: Path, log: Path, module: str = "sihl_operator.main",
        **environ: str,
    ) -> None:  # fmt: skip
        self.metrics_port, self.liveness_port = free_port(), free_port()
        self.log = log
        given = {
            "KUBECONFIG": str(kubeconfig),
            "SIHL_OPERATOR_IDENTITY": identity,
            "SIHL_OPERATOR_METRICS_PORT": str(self.metrics_port),
            "SIHL_OPERATOR_LIVENESS_PORT": str(self.liveness_port),
            "SIHL_OPERATOR_LEASE_DURATION": "4s",
            "SIHL_OPERATOR_LEASE_RENEWAL": "1s",
            "SIHL_OPERATOR_RETRY_BACKOFF": "1s",
            "SIHL_OPERATOR_UNAVAILABLE_BACKOFF": "1s",
            "SIHL_OPERATOR_LOST_NODE_TIMEOUT": "2s",
        }
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module],
                env={**os.environ, **given, **environ}, stdout=file, stderr=file, cwd=ROOT,
            )  # fmt: skip

    def get(self, port: int, path: str) -> str:
        """The body of an answer; empty where there is none, or a bad one."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                body: bytes = answer.read()
                return body.decode()
        except OSError:
            return ""

    def wait_until_it_leads(self) -> None:
        eventually(self.leads, 180, 0.1)  # a busy machine takes a minute to start a process

    def leads(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()
        return "sihl_operator_leader 1.0" in self.get(self.metrics_port, "/metrics")

    def ready(self) -> bool:
        return self.get(self.metrics_port, "/readyz") == "ok"

    def alive(self) -> bool:
        return "ok" in self.get(self.liveness_port, "/healthz")

    def writes(self) -> int:
        """Writes that it tried, without those of the lease, and events."""
        text = self.get(self.metrics_port, "/metrics")
        found = re.findall(r"^sihl_operator_api_writes_total\{(.*)\} (\S+)$", text, re.M)
        return sum(
            int(float(count))
            for labels, count in found
            if '"leases"' not in labels and '"events"' not in labels
        )

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def ended(self) -> int | None:
        """Its exit status, if it has one."""
        return self._process.poll()

    def end(self) -> int:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
        return self._process.wait(60)


class Team:
    """A namespace, and what its users and the test see and do in it."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self.namespace = namespace
        self.patience = 60.0
        self.core = client.CoreV1Api(api)
        self._custom = client.CustomObjectsApi(api)
        self._where = (GROUP, VERSION, namespace, PLURAL)

    def submit(
        self, name: str, annotations: dict[str, str] | None = None, **spec: Any
    ) -> dict[str, Any]:
        job = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "TrainingJob",
            "metadata": {"name": name, "annotations": annotations or {}},
            "spec": {**SPEC, **spec},
        }
        created: dict[str, Any] = self._custom.create_namespaced_custom_object(*self._where, job)
        return created

    def probe(self, spec: dict[str, Any]) -> str:
        """Whether the API server would take a job of this spec."""
        job = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "TrainingJob",
            "metadata": {"name": "probe"},
            "spec": spec,
        }
        try:
            self._custom.create_namespaced_custom_object(*self._where, job, dry_run="All")
        except ApiException as error:
            if error.status != 422:
                raise
            return "refused"
        return "accepted"

    def change(self, name: str, **spec: Any) -> None:
        self._custom.patch_namespaced_custom_object(*self._where, name, {"spec": spec})

    def set_status(self, name: str, status: dict[str, Any]) -> None:
        self._custom.patch_namespaced_custom_object_status(*self._where, name, {"status": status})

    def delete(self, name: str, cascade: str = "Background") -> None:
        self._custom.delete_namespaced_custom_object(*self._where, name, propagation_policy=cascade)

    def keep(self, name: str, *finalizers: str) -> None:
        """Somebody's finalizers, and no others; none lets the job go."""
        body = {"metadata": {"finalizers": list(finalizers)}}
        self._custom.patch_namespaced_custom_object(*self._where, name, body)

    def job(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._custom.get_namespaced_custom_object(*self._where, name)
        return found

    def status(self, name: str) -> dict[str, Any]:
        return self.job(name).get("status") or {}

    def phase(self, name: str, *phases: str) -> dict[str, Any]:
        """The job's status as soon as it is in one of the phases."""

        def there() -> dict[str, Any] | None:
            status = self.status(name)
            return status if status.get("phase") in phases else None

        try:
            return eventually(there, self.patience, 0.05)
        except AssertionError:
            raise AssertionError(
                f"{name} is not {phases}: {json.dumps(self.status(name))}"
            ) from None

    def told(self, name: str, kind: str, reason: str) -> dict[str, Any]:
        """A condition of a job as soon as it has the reason."""

        def there() -> dict[str, Any] | None:
            conditions = self.status(name).get("conditions", [])
            found = [c for c in conditions if (c["type"], c["reason"]) == (kind, reason)]
            return found[0] if found else None

        return eventually(there, 60, 0.05)

    def pod(self, queue: str = "cells", job: str = "", attempt: int | None = 1) -> Any:
        """A queue's pod, scheduled, as soon as it serves the job; attempt None: any."""

        def there() -> Any:
            pod = self.pod_now(queue)
            if pod is None or not pod.spec.node_name:
                return None
            labels = pod.metadata.labels
            serves = not job or labels["sihl.ai/job"] == job
            right = attempt in (None, int(labels["sihl.ai/attempt"]))
            return pod if serves and right else None

        try:
            return eventually(there, self.patience, 0.05)
        except AssertionError:
            found = self.pod_now(queue)
            raise AssertionError(f"no such pod, but {found and found.metadata.labels}") from None

    def pod_now(self, queue: str = "cells") -> Any:
        try:
            return self.core.read_namespaced_pod(f"{queue}-runner", self.namespace)
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    def leaving(self, queue: str = "cells") -> Any:
        """A queue's pod as soon as it is asked to end."""

        def there() -> Any:
            pod = self.pod_now(queue)
            return pod if pod is not None and pod.metadata.deletion_timestamp else None

        return eventually(there, self.patience, 0.05)

    def clear(self) -> None:
        for job in self._custom.list_namespaced_custom_object(*self._where)["items"]:
            self.delete(job["metadata"]["name"])
        self.core.delete_collection_namespaced_pod(self.namespace, grace_period_seconds=0)


@contextmanager
def leading(identity: str, kubeconfig: Path, log: Path, **environ: str) -> Iterator[Process]:
    """A replica that leads, and that ends well when it is asked to."""
    process = Process(identity, kubeconfig, log, **environ)
    try:
        process.wait_until_it_leads()
        yield process
    finally:
        code = process.end()
    assert code == 0, process.log.read_text()[-3000:]


@contextmanager
def new_team(api: client.ApiClient, prefix: str) -> Iterator[Team]:
    """A namespace of its own, ready for pods; its jobs and pods go at the end."""
    core = client.CoreV1Api(api)
    namespace = core.create_namespace({"metadata": {"generateName": f"{prefix}-"}}).metadata.name
    team = Team(api, namespace)
    eventually(lambda: core.list_namespaced_service_account(namespace).items, 60, 0.1)
    yield team
    team.clear()
