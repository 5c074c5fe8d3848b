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
from tests.support.chart import packaged
from tests.support.waiting import eventually

SYSTEM = "chart-system"
DASHBOARD = "dashboard.sihl.ai"


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

    def may(
        self, account: str, verb: str, group: str, resource: str, namespace: str, name: str = ""
    ) -> bool:
        """Whether a ServiceAccount, as namespace:name, has a right."""
        kind, _, part = resource.partition("/")
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": f"system:serviceaccount:{account}",
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
        text = json.dumps(review)
        answer = json.loads(self.kubectl("create", "-f", "-", "-o", "json", text=text))
        return bool(answer["status"]["allowed"])

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
        "install", "sihl", str(packaged()), "--create-namespace",
        "--set", "crds.install=false,namespaces.chart-a.create=true",
    )  # fmt: skip
    yield tools
    tools.helm("uninstall", "sihl")


def test_an_upgrade_that_adds_a_namespace_keeps_the_keys_of_the_others(tools: Tools) -> None:
    before, reader = tools.secret("chart-a"), seen(tools)["chart-a"]["secretAccessKey"]
    tools.helm(
        "upgrade", "sihl", str(packaged()), "--reuse-values",
        "--set", "namespaces.chart-b.create=true",
    )  # fmt: skip
    assert tools.secret("chart-a") == before
    added = tools.secret("chart-b")
    assert added["secretAccessKey"] != before["secretAccessKey"]
    identities = json.loads(tools.secret(SYSTEM, "sihl-store-identities")["s3.json"])["identities"]
    known = {each["name"]: each["credentials"][0]["secretKey"] for each in identities}
    assert known == {
        "chart-a": before["secretAccessKey"],
        "chart-b": added["secretAccessKey"],
        DASHBOARD: reader,
    }
    assert {name: store["secretAccessKey"] for name, store in seen(tools).items()} == {
        "chart-a": reader,
        "chart-b": reader,
    }


def seen(tools: Tools) -> dict[str, dict[str, str]]:
    """What the dashboard reads, by namespace."""
    stores: dict[str, dict[str, str]] = json.loads(
        tools.secret(SYSTEM, "sihl-dashboard-stores")["stores.json"]
    )
    return stores


def test_a_deleted_secret_comes_back_with_the_same_keys(tools: Tools) -> None:
    before = tools.secret("chart-a")
    tools.kubectl("delete", "secret", "sihl-store", "-n", "chart-a")
    tools.helm("upgrade", "sihl", str(packaged()), "--reuse-values")
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
    account = f"{SYSTEM}:sihl-operator"
    assert tools.may(account, verb, group, resource, namespace, name) is allowed


@pytest.mark.parametrize(
    ("verb", "group", "resource", "namespace", "allowed"),
    [
        ("create", "authentication.k8s.io", "tokenreviews", "", True),
        ("create", "authorization.k8s.io", "subjectaccessreviews", "", True),
        ("watch", "sihl.ai", "trainingjobs", "", True),
        ("list", "", "nodes", "", True),
        ("list", "", "pods", "", True),
        ("get", "", "pods/log", "chart-a", False),
        ("patch", "sihl.ai", "trainingjobs", "chart-a", False),
        ("create", "sihl.ai", "trainingjobs", "chart-a", False),
        ("delete", "sihl.ai", "trainingjobs", "chart-a", False),
        ("get", "", "secrets", "chart-a", False),
        ("list", "", "secrets", SYSTEM, False),
        ("impersonate", "", "users", "", False),
    ],
)
def test_the_dashboard_may_ask_and_follow_and_do_nothing_else(
    tools: Tools, verb: str, group: str, resource: str, namespace: str, allowed: bool
) -> None:
    account = f"{SYSTEM}:sihl-dashboard"
    assert tools.may(account, verb, group, resource, namespace) is allowed


@pytest.mark.parametrize(("role", "steers"), [("view", False), ("edit", True), ("admin", True)])
def test_kubernetes_own_roles_in_a_namespace_count_for_its_jobs(
    tools: Tools, role: str, steers: bool
) -> None:
    tools.kubectl(
        "create", "rolebinding", f"team-{role}", "-n", "chart-a",
        f"--clusterrole={role}", f"--serviceaccount=chart-a:{role}",
    )  # fmt: skip

    def may(verb: str, namespace: str) -> bool:
        return tools.may(f"chart-a:{role}", verb, "sihl.ai", "trainingjobs", namespace)

    rights = {"list", "patch", "create"} if steers else {"list"}
    # A controller joins the roles, in its own time.
    eventually(lambda: all(may(verb, "chart-a") for verb in rights), 60, 0.1)
    assert may("patch", "chart-a") is steers
    assert may("create", "chart-a") is steers
    assert not may("list", "default")
