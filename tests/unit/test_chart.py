"""Rules of the chart, on what the real helm renders from it."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest
import yaml

from local_cluster.programs import program
from release.source import declared_version
from sihl_api.crd import custom_resource_definition
from sihl_api.runtime import STORE_KEYS, STORE_SECRET
from sihl_operator.identities import DASHBOARD, Keys, Wanted, known
from sihl_operator.settings import read_settings
from sihl_operator.storekeeper import KEPT
from tests.support.chart import (
    CHART,
    ChartRefusedError,
    one,
    packaged,
    render,
    template,
    texts,
)

pytestmark = pytest.mark.slow  # helm is built from its sources first: part of `make test`

TWO = {"namespaces": {"vision": {"create": True}, "cells": {}}}
READER = {"accessKeyId": "reader", "secretAccessKey": "readers-secret"}
EXTERNAL: dict[str, Any] = {
    "store": {"endpoint": "https://s3.example.com"},
    "namespaces": {"vision": {"store": {"accessKeyId": "key", "secretAccessKey": "secret"}}},
    "dashboard": {"store": READER},
}
PROXY = {"podSelector": {"matchLabels": {"app": "oauth2-proxy"}}}
PROXIED = {**TWO, "dashboard": {"proxy": {"from": [PROXY]}}}
EXAMPLES: dict[str, Any] = {
    "gpuResource": "example.com/gpu",
    "runnerArchitectures": "amd64, arm64",
    "autoscalerMaxGpus": 3,
    "autoscalerMaxCpus": 3,
    "allowCpu": True,
    "defaultCpu": 1,
    "defaultMemory": "0.5Gi",
    "defaultCpuLimit": "1500m",
    "defaultMemoryLimit": "2G",
    "defaultNodeSelector": {"pool": "training", "example.com/kind": ""},
    "defaultTolerations": [{"key": "dedicated", "operator": "Exists", "tolerationSeconds": 30}],
    "sharedMemory": "1Gi",
    "scratchSize": "5Gi",
    "runnerUser": 3,
    "defaultRuntimeClass": "gvisor",
    "watchNamespaces": "cells, vision",
    "logLevel": "DEBUG",
    "logFormat": "json",
    "tracesEndpoint": "http://collector.monitoring:4318",
    "leaseRenewal": "15s",
}
"""Of the operator's settings; those that are not here are durations."""
WAY = {
    "region": "eu-central-1",
    "addressing": "VirtualHost",
    "certificateAuthority": "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n",
    "proxy": "http://proxy.example.org:3128",
}
"""To a store of yours."""
COMBINATIONS: dict[str, dict[str, Any]] = {
    "nothing given": {},
    "two namespaces": TWO,
    "a store of yours": EXTERNAL,
    "one replica, no network policies": {
        "operator": {"replicas": 1},
        "networkPolicy": {"enabled": False},
    },
    "images by digest, from a private registry": {
        "imagePullSecrets": [{"name": "registry"}],
        "operator": {"image": {"repository": "r.example/op", "digest": f"sha256:{'0' * 64}"}},
    },
    "a store of yours behind a proxy": {**EXTERNAL, "store": {**EXTERNAL["store"], **WAY}},
    "no dashboard": {**TWO, "dashboard": {"enabled": False}},
    "a dashboard behind a proxy": PROXIED,
    "no volumes": {**TWO, "store": {"embedded": {"persistence": {"enabled": False}}}},
}


@pytest.mark.parametrize("values", COMBINATIONS.values(), ids=COMBINATIONS.keys())
def test_every_object_has_a_kind_and_a_unique_name(values: dict[str, Any]) -> None:
    objects = render(values)
    names = [
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
        for each in objects
    ]
    assert len(names) == len(set(names))
    assert ("Deployment", "sihl-system", "sihl-operator") in names


@pytest.mark.parametrize("values", COMBINATIONS.values(), ids=COMBINATIONS.keys())
def test_every_pod_meets_the_restricted_pod_security_standard(values: dict[str, Any]) -> None:
    workloads = [each for each in render(values) if "template" in each.get("spec", {})]
    assert workloads
    for workload in workloads:
        pod = workload["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


def test_helm_finds_no_fault() -> None:
    done = subprocess.run(
        [program("helm"), "lint", "--strict", CHART], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_the_crd_comes_with_the_chart_as_it_is_and_is_kept_at_an_uninstall() -> None:
    crd = one(render(), "CustomResourceDefinition", "trainingjobs.sihl.ai")
    assert crd["spec"] == custom_resource_definition()["spec"]
    assert crd["metadata"]["annotations"] == KEPT


def test_the_crd_can_be_left_out() -> None:
    objects = render({"crds": {"install": False}})
    assert not [each for each in objects if each["kind"] == "CustomResourceDefinition"]


def test_the_operator_accepts_the_settings_that_the_chart_gives_it() -> None:
    settings = read_settings(operator_environment(render(TWO)))
    assert settings.trainer_image == f"sihl/trainer:{declared_version()}"
    assert settings.lease_namespace == "from-a-field"
    assert settings.allow_cpu is False


def test_every_setting_that_the_schema_allows_is_one_of_the_operators() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    allowed = schema["properties"]["operator"]["properties"]["settings"]["properties"]
    examples = {name: EXAMPLES.get(name, "30s") for name in allowed}
    objects = render({"operator": {"settings": examples}})
    settings = read_settings(operator_environment(objects))
    assert settings.allow_cpu is True
    assert settings.default_node_selector == EXAMPLES["defaultNodeSelector"]
    assert list(settings.default_tolerations) == EXAMPLES["defaultTolerations"]
    assert settings.runner_architectures == ("amd64", "arm64")


def test_large_numbers_reach_the_operator_as_they_are_written() -> None:
    values = {"runnerUser": 1000640000, "autoscalerMaxGpus": 1000000}
    settings = read_settings(operator_environment(render({"operator": {"settings": values}})))
    assert (settings.runner_user, settings.autoscaler_max_gpus) == (1000640000, 1000000)


def test_the_jobs_pods_name_no_user_where_the_cluster_assigns_one() -> None:
    objects = render({"operator": {"settings": {"runnerUser": ""}}})
    assert read_settings(operator_environment(objects)).runner_user is None


def test_the_settings_that_the_values_show_are_the_operators_own() -> None:
    shown = yaml.safe_load((CHART / "values.yaml").read_text())["operator"]["settings"]
    variables = {f"SIHL_OPERATOR_{_snake(name).upper()}" for name in shown}
    environ = operator_environment(render())
    assert variables <= set(environ)
    given = read_settings({name: environ[name] for name in variables})
    assert given == read_settings({})


def _snake(name: str) -> str:
    return "".join(f"_{letter}" if letter.isupper() else letter for letter in name)


def operator_environment(objects: list[Any]) -> dict[str, str]:
    """The operator's environment as the chart gives it."""
    deployment = one(objects, "Deployment", "sihl-operator")
    env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    fields = {"SIHL_OPERATOR_LIVENESS_ADDRESS": "fd00::7"}
    return {
        each["name"]: each.get("value", fields.get(each["name"], "from-a-field")) for each in env
    }


@pytest.mark.parametrize("name", ["vision", "cells"])
def test_each_namespace_gets_a_secret_that_says_where_its_store_is(name: str) -> None:
    secret = texts(one(render(TWO), "Secret", STORE_SECRET, name))
    assert set(secret) == {"endpoint", "bucket", "prefix"}, "its keys are the keeper's"
    assert secret["bucket"] == name
    assert secret["endpoint"] == "http://sihl-store.sihl-system.svc:8333"


def test_no_rendering_makes_up_a_key_so_that_none_differs_from_another() -> None:
    values = json.dumps(TWO)
    first, second = (template(values, "sihl-system", packaged()) for _ in range(2))
    assert first == second
    wanted = Wanted.parse(keeper(render(TWO))["SIHL_STORE_WANTED"])
    assert wanted.buckets == {"vision": "vision", "cells": "cells"}
    assert set(wanted.seen or {}) == {"vision", "cells"}


def keeper(objects: list[Any]) -> dict[str, str]:
    """What the embedded store's keeper is told by its environment."""
    pod = one(objects, "StatefulSet", "sihl-store")["spec"]["template"]["spec"]
    return {each["name"]: each.get("value", "") for each in pod["initContainers"][0]["env"]}


def test_keys_of_the_values_reach_the_embedded_store_by_its_own_secret_alone() -> None:
    keys = {"accessKeyId": "key", "secretAccessKey": "of-vision"}
    objects = render({"namespaces": {"vision": {"store": keys}}, "dashboard": {"store": READER}})
    given = known(texts(one(objects, "Secret", "sihl-store-identities")), "given.json")
    assert given == {
        "vision": Keys("key", "of-vision"),
        DASHBOARD: Keys("reader", "readers-secret"),
    }
    assert "of-vision" not in json.dumps([o for o in objects if o["kind"] != "Secret"])


@pytest.mark.parametrize(
    ("values", "at"),
    [
        ({"namespaces": {"vision": {"store": {"accessKeyId": "key"}}}}, "namespaces.vision.store"),
        ({**TWO, "dashboard": {"store": {"secretAccessKey": "s"}}}, "dashboard.store"),
    ],
)
def test_half_a_pair_of_keys_is_refused_by_name(values: dict[str, Any], at: str) -> None:
    with pytest.raises(ChartRefusedError, match=rf"{at}: give accessKeyId and secretAccessKey"):
        render(values)


def test_the_keeper_writes_the_charts_secrets_by_name_and_creates_none() -> None:
    objects = render({"namespaces": {"vision": {}, "cells": {"store": {"existingSecret": True}}}})
    rights = {
        (role["metadata"]["namespace"], resource, name): set(rule["verbs"])
        for role in objects
        if role["kind"] == "Role" and role["metadata"]["name"].startswith("sihl-store")
        for rule in role["rules"]
        for resource in rule["resources"]
        for name in rule["resourceNames"]
    }
    assert rights == {
        ("sihl-system", "secrets", "sihl-store-identities"): {"get", "patch"},
        ("sihl-system", "secrets", "sihl-dashboard-stores"): {"get", "patch"},
        ("sihl-system", "persistentvolumeclaims", "data-sihl-store-0"): {"patch"},
        ("vision", "secrets", "sihl-store"): {"get", "patch"},
    }


def test_only_the_keeper_in_the_stores_pod_has_a_token() -> None:
    pod = one(render(TWO), "StatefulSet", "sihl-store")["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    (weed,) = pod["containers"]
    assert "token" not in {each["name"] for each in weed["volumeMounts"]}


def test_no_network_of_the_embedded_store_but_s3_listens_outside_its_pod() -> None:
    pod = one(render(TWO), "StatefulSet", "sihl-store")["spec"]["template"]["spec"]
    command = pod["containers"][0]["command"]
    assert {"-ip=127.0.0.1", "-ip.bind=127.0.0.1"} <= set(command)
    policy = one(render(TWO), "NetworkPolicy", "sihl-store")["spec"]
    assert policy["ingress"] == [{"ports": [{"port": "s3", "protocol": "TCP"}]}]


def test_a_store_of_yours_replaces_the_embedded_one() -> None:
    objects = render(EXTERNAL)
    assert not [each for each in objects if each["kind"] == "StatefulSet"]
    secret = texts(one(objects, "Secret", STORE_SECRET, "vision"))
    assert secret["endpoint"] == "https://s3.example.com"
    assert secret["accessKeyId"] == "key"


def test_the_way_to_a_store_of_yours_is_said_once_for_jobs_dashboard_and_network() -> None:
    objects = render({**EXTERNAL, "store": {**EXTERNAL["store"], **WAY}})
    secret = texts(one(objects, "Secret", STORE_SECRET, "vision"))
    theirs = texts(one(objects, "Secret", "sihl-dashboard-stores"))["stores.json"]
    for found in (secret, json.loads(theirs)["vision"]):
        assert {key: found[key] for key in WAY} == WAY
        assert set(found) <= set(STORE_KEYS)
    policy = one(objects, "NetworkPolicy", "sihl-trainer", "vision")["spec"]
    ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert ports == {53, 5353, 80, 443, 3128}


def test_a_store_of_yours_without_keys_is_refused_by_name() -> None:
    values = {**EXTERNAL, "namespaces": {"vision": {}}}
    with pytest.raises(ChartRefusedError, match=r"namespaces\.vision\.store\.accessKeyId"):
        render(values)


def test_a_secret_that_others_make_is_left_alone() -> None:
    objects = render({"namespaces": {"vision": {"store": {"existingSecret": True}}}})
    assert not [each for each in objects if each["metadata"]["name"] == STORE_SECRET
                and each["kind"] == "Secret"]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"operatr": {}}, "operatr"),
        ({"operator": {"settings": {"allowCPU": True}}}, "allowCPU"),
        ({"operator": {"replicas": 0}}, "replicas"),
        ({"store": {"endpoint": "s3.example.com"}}, "endpoint"),
        ({"namespaces": {"Vision": {}}}, "Vision"),
        ({"operator": {"image": {"digest": "latest"}}}, "digest"),
        ({"operator": {"image": {"repository": "https://r.example/op"}}}, "repository"),
        ({"operator": {"image": {"tag": "latest now"}}}, "tag"),
        ({"operator": {"resources": {"limits": {"memory": "1GB"}}}}, "memory"),
        ({"operator": {"nodeSelector": {"a b": "c"}}}, "a b"),
        ({"operator": {"tolerations": [{"key": "a", "operator": "Equals"}]}}, "operator"),
        ({"imagePullSecrets": [{"name": "My Secret"}]}, "imagePullSecrets"),
        ({"dashboard": {"enable": False}}, "enable"),
        ({"operator": {"image": {"repository": ""}}}, "/operator/image/repository"),
        ({"trainer": {"image": {"repository": ""}}}, "/trainer/image/repository"),
        ({"store": {"embedded": {"persistence": {"storageClassName": "x y"}}}}, "storageClassName"),
        ({"networkPolicy": {"apiServerPorts": []}}, "apiServerPorts"),
        ({"namespaces": {"vision": None}}, "/namespaces/vision"),
        (
            {"namespaces": {"vision": {}}, "operator": {"settings": {"watchNamespaces": "cells"}}},
            r"namespaces\.vision: operator\.settings\.watchNamespaces",
        ),
        ({"dashboard": {"replicas": 2}}, "replicas"),
        ({"dashboard": {"settings": {}}}, "settings"),
        ({"dashboard": {"scratchSize": "much"}}, "scratchSize"),
        ({"dashboard": {"store": {"existingSecret": "My Stores"}}}, "existingSecret"),
        ({"dashboard": {"proxy": {"from": [{}]}}}, "from"),
        ({"dashboard": {"proxy": {"from": [{"podselector": {}}]}}}, "podselector"),
        ({"dashboard": {"proxy": {"userHeader": "X User"}}}, "userHeader"),
    ],
)
def test_values_that_mean_nothing_are_refused_by_name(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ChartRefusedError, match=named):
        render(values)


@pytest.mark.parametrize(
    "paths",
    [
        ["crds", "operator", "dashboard", "trainer", "store", "networkPolicy"],
        [
            "crds.install", "operator.image", "operator.replicas", "operator.settings",
            "dashboard.enabled", "dashboard.image", "dashboard.store", "dashboard.proxy",
            "dashboard.scratchSize", "trainer.image", "store.embedded", "networkPolicy.enabled",
            "networkPolicy.apiServerPorts", "networkPolicy.s3Ports",
        ],
        [
            "operator.image.repository", "operator.image.pullPolicy", "store.embedded.image",
            "store.embedded.persistence", "dashboard.proxy.userHeader",
        ],
        ["store.embedded.persistence.enabled", "store.embedded.persistence.size"],
    ],
)  # fmt: skip
def test_a_key_with_nothing_below_it_takes_away_no_default_that_must_be(paths: list[str]) -> None:
    values: dict[str, Any] = {}
    for path in paths:
        inner = values
        *parents, last = path.split(".")
        for each in parents:
            inner = inner.setdefault(each, {})
        inner[last] = None
    with pytest.raises(ChartRefusedError) as refused:
        render(values)
    for path in paths:
        *parents, last = path.split(".")
        at = "".join(f"/{each}" for each in parents)
        assert re.search(f"at '{at}': missing propert.*'{last}'", str(refused.value)), path


def test_namespaces_with_nothing_below_them_are_none() -> None:
    assert render({"namespaces": None}) == render()


def test_no_port_of_datasets_is_none_and_not_all() -> None:
    objects = render({**TWO, "networkPolicy": {"s3Ports": []}})
    egress = one(objects, "NetworkPolicy", "sihl-trainer", "cells")["spec"]["egress"]
    assert all(rule["ports"] for rule in egress)
    assert 443 not in {port["port"] for rule in egress for port in rule["ports"]}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gpuResource", "gpu"),
        ("runnerArchitectures", "x86_64"),
        ("autoscalerMaxGpus", -1),
        ("autoscalerMaxCpus", "many"),
        ("defaultCpu", "1 core"),
        ("defaultCpu", 0),
        ("defaultMemory", "2GB"),
        ("defaultMemory", "2"),
        ("defaultMemory", "0Gi"),
        ("defaultCpuLimit", "two"),
        ("defaultMemoryLimit", "8gb"),
        ("defaultNodeSelector", {"pool": 1}),
        ("defaultNodeSelector", {"a b": "c"}),
        ("defaultTolerations", [{"key": "a", "operator": "Equals"}]),
        ("sharedMemory", "1GiB"),
        ("scratchSize", "much"),
        ("runnerUser", 0),
        ("runnerUser", "me"),
        ("defaultRuntimeClass", "g visor"),
        ("watchNamespaces", "Team A"),
        ("logLevel", "LOUD"),
        ("leaseDuration", "15"),
        ("leaseDuration", "0s"),
        ("leaseRenewal", "20s"),
        ("retryBackoff", "1h"),
        ("relistInterval", "5 minutes"),
    ],
)
def test_a_setting_that_is_none_is_refused_by_name_before_anything_is_installed(
    name: str, value: Any
) -> None:
    with pytest.raises(ChartRefusedError, match=name):
        render({"operator": {"settings": {name: value}}})


def granted_to(account: str, objects: list[Any]) -> set[tuple[str, str]]:
    """(resource, verb) of all roles that are bound to a ServiceAccount."""
    roles = {
        each["roleRef"]["name"]
        for each in objects
        if each["kind"] in ("ClusterRoleBinding", "RoleBinding")
        and {"kind": "ServiceAccount", "name": account, "namespace": "sihl-system"}
        in each["subjects"]
    }
    return {
        (resource, verb)
        for each in objects
        if each["kind"] in ("ClusterRole", "Role") and each["metadata"]["name"] in roles
        for rule in each["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_operator_reads_no_secret_and_writes_no_spec() -> None:
    granted = granted_to("sihl-operator", render(TWO))
    assert granted
    assert not [grant for grant in granted if grant[0] in ("secrets", "configmaps", "*")]
    assert not [grant for grant in granted if "*" in grant]
    assert {verb for resource, verb in granted if resource == "trainingjobs"} <= {
        "get", "list", "watch", "delete",
    }  # fmt: skip


def test_a_namespace_that_the_chart_makes_is_kept_at_an_uninstall() -> None:
    objects = render(TWO)
    namespaces = [each for each in objects if each["kind"] == "Namespace"]
    assert [each["metadata"]["name"] for each in namespaces] == ["vision"]
    metadata = namespaces[0]["metadata"]
    assert metadata["annotations"] == KEPT
    assert metadata["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_embedded_stores_volume_outlives_its_pods_and_its_statefulset() -> None:
    store = one(render(TWO), "StatefulSet", "sihl-store")["spec"]
    policy = store["persistentVolumeClaimRetentionPolicy"]
    assert policy == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    (claim,) = store["volumeClaimTemplates"]
    marked = keeper(render(TWO))["SIHL_STORE_CLAIM"]
    assert marked == f"{claim['metadata']['name']}-sihl-store-0"


def test_trainer_pods_reach_names_and_stores_only() -> None:
    policy = one(render(TWO), "NetworkPolicy", "sihl-trainer", "cells")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    ports = [port["port"] for rule in policy["egress"] for port in rule["ports"]]
    assert sorted(ports) == [53, 53, 80, 443, 5353, 5353, 8333]


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [
        ("http://minio.storage.svc:9000", 9000),
        ("http://minio.storage.svc", 80),
        ("https://s3.eu-central-1.amazonaws.com", 443),
        ("https://[fd00::1]:9443/", 9443),
    ],
)
def test_trainer_pods_reach_the_port_of_a_store_of_yours(endpoint: str, port: int) -> None:
    keys = {"store": {"bucket": "cells", "accessKeyId": "a", "secretAccessKey": "s"}}
    values = {**EXTERNAL, "store": {"endpoint": endpoint}, "namespaces": {"cells": keys}}
    objects = render(values)
    policy = one(objects, "NetworkPolicy", "sihl-trainer", "cells")["spec"]
    ports = [port["port"] for rule in policy["egress"] for port in rule["ports"]]
    assert sorted(ports) == sorted([53, 53, 80, 5353, 5353, *{443, port}])


def test_every_value_is_explained() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    values = yaml.safe_load("\n".join(lines))
    assert set(values) == {
        "crds", "global", "commonLabels", "extraObjects", "securityContext", "service",
        "imagePullSecrets", "operator", "dashboard", "trainer", "namespaces", "store", "monitoring",
        "networkPolicy",
    }  # fmt: skip
    for name in values:
        start = next(i for i, line in enumerate(lines) if line.startswith(f"{name}:"))
        end = next(
            (i for i in range(start + 1, len(lines)) if lines[i] and lines[i][0] not in " #"),
            len(lines),
        )
        around = lines[max(0, start - 1) : end]
        assert any("#" in line for line in around), f"{name} has no comment"


def test_nothing_of_the_chart_lies_outside_its_folder() -> None:
    assert not [path for path in CHART.rglob("*") if path.is_symlink()]


def test_operator_and_pods_reach_the_collector_of_traces_where_there_is_one() -> None:
    for endpoint, port in (("http://c.m:4318", 4318), ("https://c.example.com/otel", 443)):
        objects = render({**TWO, "operator": {"settings": {"tracesEndpoint": endpoint}}})
        for name, namespace in (("sihl-operator", "sihl-system"), ("sihl-trainer", "vision")):
            policy = one(objects, "NetworkPolicy", name, namespace)
            assert {"ports": [{"port": port, "protocol": "TCP"}]} in policy["spec"]["egress"]


def test_alerts_lead_to_their_pages_where_it_is_said_that_these_are_served() -> None:
    at = {"enabled": True, "runbooks": "https://docs.example.com/runbooks/"}
    rule = one(render({"monitoring": {"prometheusRule": at}}), "PrometheusRule", "sihl")
    found = [each for group in rule["spec"]["groups"] for each in group["rules"]]
    assert found
    for each in found:
        page = f"https://docs.example.com/runbooks/{each['alert']}.md"
        assert each["annotations"]["runbook_url"] == page
    plain = one(
        render({"monitoring": {"prometheusRule": {"enabled": True}}}), "PrometheusRule", "sihl"
    )
    assert plain["spec"] == yaml.safe_load((CHART / "alerts.yaml").read_text())


def test_a_rollback_past_the_stores_account_leaves_it_since_its_pods_go_on_naming_it() -> None:
    account = one(render(), "ServiceAccount", "sihl-store")
    assert account["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
