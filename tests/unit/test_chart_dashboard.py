"""Rules of the dashboard's part of the chart, on what the real helm renders."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sihl_dashboard.server.settings import Settings
from sihl_operator.identities import DASHBOARD, Wanted, identities, s3_json, stores_json
from tests.support.chart import ChartRefusedError, one, render, texts
from tests.unit.test_chart import EXTERNAL, PROXIED, PROXY, READER, TWO, granted_to, keeper

pytestmark = pytest.mark.slow  # helm is built from its sources first: part of `make test`

READS = {"list", "watch"}


def stores(objects: list[Any]) -> dict[str, dict[str, str]]:
    """What the dashboard reads, by namespace."""
    if any(each["kind"] == "StatefulSet" for each in objects):
        wanted = wanted_of(objects)
        return json.loads(stores_json(wanted, identities(wanted, {})[DASHBOARD]))  # type: ignore[no-any-return]
    secret = texts(one(objects, "Secret", "sihl-dashboard-stores", "sihl-system"))
    return json.loads(secret["stores.json"])  # type: ignore[no-any-return]


def wanted_of(objects: list[Any]) -> Wanted:
    """What the embedded store's keeper is asked for."""
    return Wanted.parse(keeper(objects)["SIHL_STORE_WANTED"])


def pod(objects: list[Any]) -> dict[str, Any]:
    """What the Deployment runs."""
    return dict(one(objects, "Deployment", "sihl-dashboard")["spec"]["template"]["spec"])


def ingress(objects: list[Any]) -> dict[str, Any]:
    """By port, who is let in; None is everyone."""
    rules = one(objects, "NetworkPolicy", "sihl-dashboard")["spec"]["ingress"]
    return {port["port"]: rule.get("from") for rule in rules for port in rule["ports"]}


def egress_ports(objects: list[Any]) -> set[Any]:
    """Every port that it may reach, of whomever."""
    rules = one(objects, "NetworkPolicy", "sihl-dashboard")["spec"]["egress"]
    return {port["port"] for rule in rules for port in rule["ports"]}


def test_its_rights_are_to_ask_and_to_follow_and_no_secret_is_read_through_the_api() -> None:
    assert granted_to("sihl-dashboard", render(TWO)) == {
        ("tokenreviews", "create"),
        ("subjectaccessreviews", "create"),
        *((kind, verb) for kind in ("trainingjobs", "nodes", "pods") for verb in READS),
    }


def test_it_can_be_left_out_with_all_that_belongs_to_it() -> None:
    objects = render({**TWO, "dashboard": {"enabled": False}})
    assert not [each for each in objects if "dashboard" in each["metadata"]["name"]]
    assert wanted_of(objects).seen is None


def test_its_identity_reads_the_bucket_of_every_namespace_and_writes_none() -> None:
    objects = render({"namespaces": {"vision": {"store": {"bucket": "team"}}, "cells": {}}})
    wanted = wanted_of(objects)
    (mine,) = [
        each
        for each in json.loads(s3_json(wanted, identities(wanted, {})))["identities"]
        if each["name"] == DASHBOARD
    ]
    assert set(mine["actions"]) == {"Read:team", "List:team", "Read:cells", "List:cells"}
    assert {name: store["bucket"] for name, store in stores(objects).items()} == {
        "vision": "team",
        "cells": "cells",
    }
    for store in stores(objects).values():
        assert store["endpoint"] == "http://sihl-store.sihl-system.svc:8333"


def test_it_reads_a_store_of_yours_with_the_keys_given_to_it_and_not_the_namespaces() -> None:
    assert stores(render(EXTERNAL)) == {
        "vision": {
            "endpoint": "https://s3.example.com", "bucket": "vision",
            "prefix": "", "accessKeyId": "reader", "secretAccessKey": "readers-secret",
        }
    }  # fmt: skip


@pytest.mark.parametrize("missing", ["accessKeyId", "secretAccessKey"])
def test_a_store_of_yours_without_keys_for_it_is_refused_by_name(missing: str) -> None:
    values = {**EXTERNAL, "dashboard": {"store": {**READER, missing: ""}}}
    with pytest.raises(ChartRefusedError, match=rf"dashboard\.store\.{missing} .*enabled: false"):
        render(values)


def test_stores_that_others_name_in_a_secret_are_mounted_and_no_key_of_it_is_made() -> None:
    values = {**EXTERNAL, "dashboard": {"store": {"existingSecret": "team-stores"}}}
    objects = render(values)
    items = [{"key": "stores.json", "path": "stores.json"}]
    volume = {"name": "stores", "secret": {"secretName": "team-stores", "items": items}}
    assert volume in pod(objects)["volumes"]
    assert not [each for each in objects if each["metadata"]["name"] == "sihl-dashboard-stores"]
    assert wanted_of(render({**TWO, **{"dashboard": values["dashboard"]}})).seen is None


def test_a_namespaces_secret_that_others_make_is_followed_where_the_values_say_its_bucket() -> None:
    theirs = {"store": {"existingSecret": True}}
    said = {"store": {"existingSecret": True, "bucket": "shared", "prefix": "said"}}
    found = stores(render({"namespaces": {"unsaid": theirs, "said": said}}))
    assert {name: (store["bucket"], store["prefix"]) for name, store in found.items()} == {
        "said": ("shared", "said")
    }


def test_the_embedded_store_starts_anew_when_whom_it_knows_changes() -> None:
    template = json.dumps(one(render(TWO), "StatefulSet", "sihl-store")["spec"]["template"])
    more = render({"namespaces": {**TWO["namespaces"], "third": {}}})
    assert json.dumps(one(more, "StatefulSet", "sihl-store")["spec"]["template"]) != template


def test_everyone_in_the_cluster_reaches_its_pages_and_users_then_log_in() -> None:
    objects = render(TWO)
    assert ingress(objects) == {"http": None, "metrics": None}
    assert settings(objects).login == "token"


def test_behind_a_proxy_nobody_else_reaches_the_pages_and_its_headers_name_the_user() -> None:
    objects = render(PROXIED)
    assert ingress(objects) == {"http": [PROXY], "metrics": None}
    found = settings(objects)
    assert found.login == "proxy"
    assert (found.user_header, found.groups_header) == ("X-Forwarded-Email", "X-Forwarded-Groups")


def test_it_is_told_what_it_reads_and_listens_where_the_chart_says() -> None:
    objects = render({**TWO, "operator": {"settings": {"gpuResource": "example.com/gpu"}}})
    found = settings(objects)
    (container,) = pod(objects)["containers"]
    assert {"name": "stores", "mountPath": str(found.stores.parent), "readOnly": True} in (
        container["volumeMounts"]
    )
    assert {"name": "scratch", "mountPath": str(found.scratch)} in container["volumeMounts"]
    assert found.accelerator == "example.com/gpu"
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": found.port, "metrics": found.metrics_port}


def test_headers_of_a_proxy_are_refused_where_the_chart_makes_no_network_policy() -> None:
    with pytest.raises(ChartRefusedError, match=r"dashboard\.proxy\.from needs networkPolicy"):
        render({**PROXIED, "networkPolicy": {"enabled": False}})


def settings(objects: list[Any]) -> Settings:
    """What the container reads from the environment that the chart gives it, and no other."""
    (container,) = pod(objects)["containers"]
    environment = {each["name"]: each["value"] for each in container["env"]}
    known = {f"SIHL_DASHBOARD_{name.upper()}" for name in vars(Settings())}
    assert set(environment) <= known
    return Settings.from_environment(environment)


@pytest.mark.parametrize(
    ("values", "ports"),
    [
        (TWO, {53, 5353, 443, 6443, 8443, 16443, "s3"}),
        (
            {**EXTERNAL, "store": {"endpoint": "http://minio.svc:9000"}},
            {53, 5353, 443, 6443, 8443, 16443, 9000},
        ),
        (EXTERNAL, {53, 5353, 443, 6443, 8443, 16443}),
        (
            {
                **EXTERNAL,
                "dashboard": {"store": {"existingSecret": "team-stores"}},
                "networkPolicy": {"s3Ports": [8443]},
            },
            {53, 5353, 80, 443, 6443, 8443, 16443},
        ),
    ],
    ids=["embedded", "a store of yours", "its port is the API server's too", "stores of others"],
)
def test_it_reaches_names_the_api_server_and_the_stores_only(
    values: dict[str, Any], ports: set[Any]
) -> None:
    assert egress_ports(render(values)) == ports


def test_who_may_see_a_namespaces_objects_may_see_its_jobs_and_who_edits_them_may_steer() -> None:
    objects = render(TWO)
    roles = {
        each["metadata"]["name"]: each
        for each in objects
        if each["kind"] == "ClusterRole" and "trainingjobs-" in each["metadata"]["name"]
    }
    assert {
        name: {verb for rule in role["rules"] for verb in rule["verbs"]}
        for name, role in roles.items()
    } == {
        "sihl-trainingjobs-view": {"get", "list", "watch"},
        "sihl-trainingjobs-edit": {"create", "update", "patch", "delete", "deletecollection"},
    }
    for role in roles.values():
        assert {resource for rule in role["rules"] for resource in rule["resources"]} == {
            "trainingjobs"
        }
    edits = roles["sihl-trainingjobs-edit"]["metadata"]["labels"]
    assert not [label for label in edits if label.endswith("aggregate-to-view")]
