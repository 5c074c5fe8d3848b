"""The chart on a real API server: what `lookup` and RBAC do cannot be seen in rendered text."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_cluster.programs import program
from tests.support.chart import CHART

SYSTEM = "chart-system"


class Tools:
    """helm and kubectl on the API server of the tests."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        command: list[str | Path] = [
            program("kubectl"),
            f"--kubeconfig={self.kubeconfig}",
            *arguments,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, input=text)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def helm(self, *arguments: str) -> None:
        command: list[str | Path] = [
            program("helm"),
            f"--kubeconfig={self.kubeconfig}",
            *arguments,
            "-n",
            SYSTEM,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def secret(self, namespace: str, name: str = "sihl-store") -> dict[str, str]:
        data: dict[str, Any] = json.loads(
            self.kubectl("get", "secret", name, "-n", namespace, "-o", "json")
        )["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}


@pytest.fixture(scope="module")
def tools(kubeconfig: Path) -> Iterator[Tools]:
    """With the chart installed for one namespace."""
    tools = Tools(kubeconfig)
    tools.helm(
        "install", "sihl", str(CHART), "--create-namespace",
        "--set", "crds.install=false,namespaces.chart-a.create=true",
    )  # fmt: skip
    yield tools
    tools.helm("uninstall", "sihl")


def test_an_upgrade_that_adds_a_namespace_keeps_the_keys_of_the_others(tools: Tools) -> None:
    before = tools.secret("chart-a")
    tools.helm(
        "upgrade", "sihl", str(CHART), "--reuse-values", "--set", "namespaces.chart-b.create=true"
    )
    assert tools.secret("chart-a") == before
    added = tools.secret("chart-b")
    assert added["secretAccessKey"] != before["secretAccessKey"]
    identities = json.loads(tools.secret(SYSTEM, "sihl-store-identities")["s3.json"])["identities"]
    known = {each["name"]: each["credentials"][0]["secretKey"] for each in identities}
    assert known == {
        "chart-a": before["secretAccessKey"],
        "chart-b": added["secretAccessKey"],
    }


def test_a_deleted_secret_comes_back_with_the_same_keys(tools: Tools) -> None:
    before = tools.secret("chart-a")
    tools.kubectl("delete", "secret", "sihl-store", "-n", "chart-a")
    tools.helm("upgrade", "sihl", str(CHART), "--reuse-values")
    assert tools.secret("chart-a") == before


@pytest.mark.parametrize(
    ("verb", "group", "resource", "namespace", "name", "allowed"),
    [
        ("create", "", "pods", "chart-a", "", True),
        ("delete", "", "pods", "chart-a", "", True),
        ("list", "", "nodes", "", "", True),
        ("patch", "sihl.ai", "trainingjobs/status", "chart-a", "", True),
        ("patch", "sihl.ai", "trainingjobs", "chart-a", "", False),
        ("delete", "sihl.ai", "trainingjobs", "chart-a", "", False),
        ("get", "", "secrets", "chart-a", "", False),
        ("get", "", "secrets", SYSTEM, "", False),
        ("update", "coordination.k8s.io", "leases", SYSTEM, "sihl-operator", True),
        ("update", "coordination.k8s.io", "leases", SYSTEM, "other", False),
        ("update", "coordination.k8s.io", "leases", "chart-a", "sihl-operator", False),
        ("create", "", "pods/exec", "chart-a", "", False),
        ("delete", "", "nodes", "", "", False),
    ],
)
def test_the_operator_may_do_what_it_does_and_nothing_else(
    tools: Tools, verb: str, group: str, resource: str, namespace: str, name: str, allowed: bool
) -> None:
    kind, _, part = resource.partition("/")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{SYSTEM}:sihl-operator",
            "resourceAttributes": {
                "verb": verb,
                "group": group,
                "resource": kind,
                "subresource": part,
                "namespace": namespace,
                "name": name,
            },
        },
    }
    answer = json.loads(tools.kubectl("create", "-f", "-", "-o", "json", text=json.dumps(review)))
    assert answer["status"]["allowed"] is allowed
