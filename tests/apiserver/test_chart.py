"""The chart on a real API server: what `lookup` and RBAC do cannot be seen in rendered text."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.config import kube_config

from local_cluster.programs import program
from sihl_operator.identities import Keys, known
from sihl_operator.storekeeper import ROTATE, Post, SecretsApi, tend
from tests.support.chart import packaged, render, texts
from tests.support.waiting import eventually
from tests.unit.test_chart import EXTERNAL
from tests.unit.test_chart_identity import BY_ACCOUNT, BY_ROLE
from tests.unit.test_chart_platform import MONITORS, PLACES

SYSTEM = "chart-system"
STORE = "sihl-store"
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
        return texts(json.loads(self.kubectl("get", "secret", name, "-n", namespace, "-o", "json")))

    def keep(self) -> None:
        """What the embedded store's keeper does, once, with its own rights and no others."""
        set_ = json.loads(self.kubectl("get", "statefulset", STORE, "-n", SYSTEM, "-o", "json"))
        (container,) = set_["spec"]["template"]["spec"]["initContainers"]
        environ = {each["name"]: each.get("value", SYSTEM) for each in container["env"]}
        config = yaml.safe_load(self.kubeconfig.read_text())
        token = self.kubectl("create", "token", STORE, "-n", SYSTEM).strip()
        config["users"] = [{**user, "user": {"token": token}} for user in config["users"]]
        with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "kubeconfig"
            file.write_text(yaml.safe_dump(config))
            patch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(file))
            identities = {"SIHL_STORE_IDENTITIES": str(file.with_name("s3.json"))}
            asyncio.run(_tended(Post.from_environment(environ | identities)))


async def _tended(post: Post) -> None:
    async with SecretsApi(lambda _verb, _resource: None) as api:
        await tend(api, post)


@pytest.fixture(scope="module")
def tools(kubeconfig: Path) -> Iterator[Tools]:
    """With the chart installed for one namespace."""
    tools = Tools(kubeconfig)
    tools.helm(
        "install", "sihl", str(packaged()), "--create-namespace",
        "--set", "crds.install=false,namespaces.chart-a.create=true",
    )  # fmt: skip
    tools.keep()
    yield tools
    tools.helm("uninstall", "sihl")


def test_an_upgrade_that_adds_a_namespace_keeps_the_keys_of_the_others(tools: Tools) -> None:
    tools.keep()
    before, reader = tools.secret("chart-a"), seen(tools)["chart-a"]["secretAccessKey"]
    tools.helm(
        "upgrade", "sihl", str(packaged()), "--reuse-values",
        "--set", "namespaces.chart-b.create=true",
    )  # fmt: skip
    assert tools.secret("chart-a") == before
    tools.keep()
    assert tools.secret("chart-a") == before
    added = tools.secret("chart-b")
    assert set(added) == {"endpoint", "bucket", "prefix", "accessKeyId", "secretAccessKey"}
    assert {name: keys.secret for name, keys in identities(tools).items()} == {
        "chart-a": before["secretAccessKey"],
        "chart-b": added["secretAccessKey"],
        DASHBOARD: reader,
    }
    assert {name: store["secretAccessKey"] for name, store in seen(tools).items()} == {
        "chart-a": reader,
        "chart-b": reader,
    }


def identities(tools: Tools) -> dict[str, Keys]:
    """Whom the embedded store knows."""
    return known(tools.secret(SYSTEM, "sihl-store-identities"))


def seen(tools: Tools) -> dict[str, dict[str, str]]:
    """What the dashboard reads, by namespace."""
    stores: dict[str, dict[str, str]] = json.loads(
        tools.secret(SYSTEM, "sihl-dashboard-stores")["stores.json"]
    )
    return stores


def test_a_deleted_secret_comes_back_with_the_same_keys(tools: Tools) -> None:
    before = tools.secret("chart-a")
    tools.kubectl("delete", "secret", STORE, "-n", "chart-a")
    tools.helm("upgrade", "sihl", str(packaged()), "--reuse-values")
    tools.keep()
    assert tools.secret("chart-a") == before


def test_keys_are_replaced_where_an_annotation_asks_for_it_and_only_once(tools: Tools) -> None:
    before = identities(tools)
    tools.kubectl(
        "annotate", "secret", "sihl-store-identities", "-n", SYSTEM, f"{ROTATE}=chart-a"
    )  # fmt: skip
    tools.keep()
    after = identities(tools)
    assert {name for name in after if after[name] != before[name]} == {"chart-a"}
    assert tools.secret("chart-a")["secretAccessKey"] == after["chart-a"].secret
    tools.keep()
    tools.helm("rollback", "sihl", "1")
    tools.helm("upgrade", "sihl", str(packaged()), "--reset-values", "--set",
               "crds.install=false,namespaces.chart-a.create=true")  # fmt: skip
    assert identities(tools) == after


EARLIER = {
    "Chart.yaml": "{apiVersion: v2, name: sihl, version: 0.0.1}",
    "templates/namespaces.yaml": "{apiVersion: v1, kind: Namespace, metadata: {name: chart-e}}",
    "templates/store-secrets.yaml": """
apiVersion: v1
kind: Secret
metadata: {name: sihl-store, namespace: chart-e}
stringData: {accessKeyId: old, secretAccessKey: old-secret}
---
apiVersion: v1
kind: Secret
metadata: {name: sihl-store-identities, namespace: {{ .Release.Namespace }}}
stringData:
  s3.json: >-
    {"identities": [{"name": "chart-e", "actions": ["Read:chart-e"],
    "credentials": [{"accessKey": "old", "secretKey": "old-secret"}]}]}
""",
}  # fmt: skip
"""What a chart rendered that made up keys itself."""


@pytest.mark.parametrize("server_side", ["true", "false"])
def test_keys_that_an_earlier_chart_made_up_stay_through_upgrade_and_rollback(
    tools: Tools, tmp_path: Path, server_side: str
) -> None:
    tools.helm("uninstall", "sihl")
    try:
        for name, text in EARLIER.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        tools.helm("install", "sihl", str(tmp_path), f"--server-side={server_side}")
        tools.helm("upgrade", "sihl", str(packaged()), "--set",
                   "crds.install=false,namespaces.chart-e.create=true")  # fmt: skip
        tools.keep()
        assert identities(tools)["chart-e"] == Keys("old", "old-secret")
        assert tools.secret("chart-e")["secretAccessKey"] == "old-secret"
        tools.helm("rollback", "sihl", "1")
        assert identities(tools)["chart-e"] == Keys("old", "old-secret")
        assert tools.secret("chart-e")["secretAccessKey"] == "old-secret"
    finally:
        tools.helm("uninstall", "sihl", "--ignore-not-found")
        tools.kubectl("delete", "namespace", "chart-e", "--ignore-not-found")  # the next makes it
        tools.helm("install", "sihl", str(packaged()), "--set",
                   "crds.install=false,namespaces.chart-a.create=true")  # fmt: skip


SEEN = {"namespaces": {"chart-a": {"create": True}}}
VALUES: dict[str, dict[str, Any]] = {
    "places": {**PLACES, **SEEN, "commonLabels": {"team": "platform"}},
    "monitors": {**SEEN, "monitoring": MONITORS},
    "a cluster that assigns users": {
        **SEEN,
        "securityContext": {"runAsUser": None},
        "operator": {"settings": {"runnerUser": ""}},
    },
    "both families": {**SEEN, "service": {"ipFamilyPolicy": "PreferDualStack"}},
    "a store of yours": {**EXTERNAL, "namespaces": {"chart-a": EXTERNAL["namespaces"]["vision"]}},
    "a store of yours by service accounts": {
        **BY_ROLE,
        "namespaces": {"chart-a": BY_ACCOUNT["namespaces"]["vision"]},
    },
    "least": {
        "dashboard": {"enabled": False},
        "operator": {"replicas": 1},
        "networkPolicy": {"enabled": False},
        "store": {"embedded": {"persistence": {"enabled": False}}},
    },
}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES.keys())
def test_the_api_server_takes_what_is_rendered_and_knows_every_field_of_it(
    tools: Tools, values: dict[str, Any]
) -> None:
    objects = render(values, namespace=SYSTEM)
    known = [each for each in objects if not each["apiVersion"].startswith("monitoring.")]
    tools.kubectl(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict",
        "-f", "-", text=yaml.safe_dump_all(known),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("verb", "group", "resource", "namespace", "name", "allowed"),
    [
        ("create", "", "pods", "chart-a", "", True),
        ("delete", "", "pods", "chart-a", "", True),
        ("list", "", "nodes", "", "", True),
        ("patch", "sihl.ai", "trainingjobs/status", "chart-a", "", True),
        ("patch", "sihl.ai", "trainingjobs", "chart-a", "", False),
        ("delete", "sihl.ai", "trainingjobs", "chart-a", "", True),
        ("deletecollection", "sihl.ai", "trainingjobs", "chart-a", "", False),
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
