"""Rules of the chart's service accounts that read and write a store in place of keys."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from sihl_api.runtime import STORE_KEYS, STORE_SECRET, STORE_TOKEN_DIRECTORY, TOKEN_FILE, Env
from sihl_dashboard.server.stores import place_of
from sihl_operator.pod import render_pod
from sihl_operator.settings import read_settings
from sihl_trainer.record.s3 import S3Settings, S3Store
from tests.support.chart import ChartRefusedError, one, render, texts
from tests.support.objects import job
from tests.support.s3 import BORROWER, KEEPER, S3Server
from tests.support.sts import lending, token_of
from tests.unit.test_chart import operator_environment

pytestmark = pytest.mark.slow  # helm is built from its sources first: part of `make test`

ROLE = "arn:aws:iam::123456789012:role/sihl"
IRSA = {"eks.amazonaws.com/role-arn": ROLE}
YOURS = {"endpoint": "https://s3.eu-central-1.amazonaws.com"}
BY_ACCOUNT: dict[str, Any] = {
    "store": YOURS,
    "namespaces": {
        "vision": {
            "store": {"serviceAccount": True},
            "serviceAccount": {"name": "sihl-jobs", "annotations": IRSA},
        },
        "cells": {"store": {"accessKeyId": "key", "secretAccessKey": "secret"}},
    },
    "dashboard": {"store": {"serviceAccount": True}, "serviceAccount": {"annotations": IRSA}},
}
"""A cloud's webhook gives the accounts of `vision` and of the dashboard a role."""
BY_ROLE: dict[str, Any] = {
    "store": {**YOURS, "stsEndpoint": "https://sts.example.org:7443"},
    "namespaces": {"vision": {"store": {"serviceAccount": True, "roleArn": ROLE}}},
    "dashboard": {"store": {"serviceAccount": True, "roleArn": ROLE}},
}
"""No webhook does: the tokens are this cluster's own."""


def test_the_values_alone_make_a_namespace_whose_jobs_keep_records_without_a_key() -> None:
    objects = render(BY_ACCOUNT)
    account = one(objects, "ServiceAccount", "sihl-jobs", "vision")
    assert account["metadata"]["annotations"] == IRSA
    assert account["automountServiceAccountToken"] is False
    said = texts(one(objects, "Secret", STORE_SECRET, "vision"))
    # Not left out: keys that an earlier chart wrote as stringData are not taken away else.
    keys = {"accessKeyId": "", "secretAccessKey": ""}
    place = {**YOURS, "bucket": "vision", "prefix": "", "serviceAccount": "true"}
    assert said == {**place, **keys}
    environ = {Env.store(key): text for key, text in said.items()}
    assert S3Settings.from_environment(environ).identity is not None
    settings = read_settings(operator_environment(objects))
    assert settings.service_accounts == {"vision": "sihl-jobs"}
    assert settings.store_token_audiences == {}, "the webhook's token is all that is wanted"
    (seen,) = (
        each for name, each in json.loads(dashboard_stores(objects)).items() if name == "vision"
    )
    assert seen == place
    own = one(objects, "ServiceAccount", "sihl-dashboard")
    assert own["metadata"]["annotations"] == IRSA


def dashboard_stores(objects: list[Any]) -> str:
    return texts(one(objects, "Secret", "sihl-dashboard-stores"))["stores.json"]


def test_without_a_webhook_a_role_has_tokens_of_the_cluster_in_jobs_and_dashboard() -> None:
    objects = render(BY_ROLE)
    settings = read_settings(operator_environment(objects))
    assert settings.store_token_audiences == {"vision": "sts.amazonaws.com"}
    said = texts(one(objects, "Secret", STORE_SECRET, "vision"))
    assert (said["roleArn"], said["stsEndpoint"]) == (ROLE, BY_ROLE["store"]["stsEndpoint"])
    assert set(said) <= set(STORE_KEYS)
    pod = one(objects, "Deployment", "sihl-dashboard")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert env[Env.STORE_IDENTITY] == f"{STORE_TOKEN_DIRECTORY}/{TOKEN_FILE}"
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    (volume,) = (each for each in pod["volumes"] if "projected" in each)
    assert mounts[volume["name"]] == STORE_TOKEN_DIRECTORY
    (source,) = volume["projected"]["sources"]
    assert source["serviceAccountToken"]["audience"] == "sts.amazonaws.com"
    assert source["serviceAccountToken"]["path"] == TOKEN_FILE


def test_what_the_values_say_is_enough_for_a_pod_to_keep_its_record_and_the_dashboard_to_read_it(
    lending_s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text(token_of())
    with lending(functools.cache(lending_s3.lend), KEEPER, BORROWER) as sts:
        by = {"serviceAccount": True, "roleArn": KEEPER}
        objects = render({
            "store": {"endpoint": lending_s3.endpoint, "stsEndpoint": sts.endpoint},
            "namespaces": {"team": {"store": {**by, "bucket": "data"}}},
            "dashboard": {"store": {"serviceAccount": True, "roleArn": BORROWER}},
        })  # fmt: skip
        secret = texts(one(objects, "Secret", STORE_SECRET, "team"))
        settings = read_settings(operator_environment(objects))
        pod = render_pod(job(), 1, "cells", settings)
        environ = {}
        for each in pod["spec"]["containers"][0]["env"]:
            key = each.get("valueFrom", {}).get("secretKeyRef", {}).get("key", "")
            environ[each["name"]] = secret.get(key, each.get("value", ""))
        assert environ[Env.STORE_IDENTITY] == f"{STORE_TOKEN_DIRECTORY}/{TOKEN_FILE}"
        record = S3Store(S3Settings.from_environment(environ | {Env.STORE_IDENTITY: str(token)}))
        record.put("team/kept", b"1")
        monkeypatch.setenv(Env.STORE_IDENTITY, str(token))
        place = place_of(json.loads(dashboard_stores(objects))["team"])
        assert place.get("team/kept").data == b"1"
        assert [form["RoleArn"] for form in sts.asked] == [KEEPER, BORROWER]


def test_a_store_that_trusts_the_cluster_without_roles_is_given_its_audience() -> None:
    values = {
        **BY_ACCOUNT,
        "store": {"endpoint": "https://minio.example.org", "audience": "minio"},
    }
    settings = read_settings(operator_environment(render(values)))
    assert settings.store_token_audiences == {"vision": "minio"}, "not cells, which has keys"


@pytest.mark.parametrize(("name", "namespace"), [("sihl-trainer", "vision"),
                                                 ("sihl-dashboard", "sihl-system")])  # fmt: skip
def test_who_lends_keys_is_reached_by_jobs_and_dashboard(name: str, namespace: str) -> None:
    egress = one(render(BY_ROLE), "NetworkPolicy", name, namespace)["spec"]["egress"]
    assert {7443, 443} <= {port["port"] for rule in egress for port in rule["ports"]}
    agents = {"ports": [{"port": 80, "protocol": "TCP"}], "to": [
        {"ipBlock": {"cidr": "169.254.170.23/32"}}, {"ipBlock": {"cidr": "fd00:ec2::23/128"}}
    ]}  # fmt: skip
    assert agents in egress
    without = {**BY_ROLE, "networkPolicy": {"identityAgents": []}}
    egress = one(render(without), "NetworkPolicy", name, namespace)["spec"]["egress"]
    assert not [rule for rule in egress if any("ipBlock" in to for to in rule.get("to", ()))]


def test_jobs_that_name_no_account_use_the_namespaces_whoever_makes_it() -> None:
    others = {"vision": {"serviceAccount": {"name": "default", "create": False}}}
    objects = render({"namespaces": others})
    assert read_settings(operator_environment(objects)).service_accounts == {"vision": "default"}
    assert not [
        each
        for each in objects
        if each["kind"] == "ServiceAccount" and each["metadata"]["namespace"] == "vision"
    ]


def test_a_new_role_of_the_dashboard_makes_its_pod_anew_since_webhooks_act_when_one_is_made() -> (
    None
):
    def marks(annotations: dict[str, str]) -> dict[str, str]:
        dashboard = {
            "store": {"serviceAccount": True},
            "serviceAccount": {"annotations": annotations},
        }
        pod = one(render({**BY_ACCOUNT, "dashboard": dashboard}), "Deployment", "sihl-dashboard")
        return dict(pod["spec"]["template"]["metadata"]["annotations"])

    assert marks(IRSA) == marks(IRSA)
    assert len({json.dumps(marks(each)) for each in ({}, IRSA, {**IRSA, "a": "b"})}) == 3


def vision(store: dict[str, Any] | None = None, **entry: Any) -> dict[str, Any]:
    return {"namespaces": {"vision": {"store": store or {}, **entry}}}


KEYS = {"accessKeyId": "key", "secretAccessKey": "secret"}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (vision({**KEYS, "serviceAccount": True}),
         r"namespaces\.vision\.store: give accessKeyId and secretAccessKey, or serviceAccount"),
        (vision({"existingSecret": True, "serviceAccount": True}),
         r"namespaces\.vision\.store: give existingSecret or serviceAccount"),
        (vision({**KEYS, "roleArn": ROLE}), r"namespaces\.vision\.store\.roleArn belongs to"),
        (vision({"serviceAccount": True, "roleArn": "sihl"}), r"roleArn"),
        (vision({"serviceAccount": "true"}), r"serviceAccount"),
        (vision({}), r"namespaces\.vision\.store\.accessKeyId .*serviceAccount: true"),
        (vision(KEYS, serviceAccount={"annotations": IRSA}), r"/vision/serviceAccount.*'name'"),
        (vision(KEYS, serviceAccount={"name": ""}), r"serviceAccount.*name"),
        (vision(KEYS, serviceAccount={"name": "Sihl Jobs"}), r"serviceAccount.*name"),
        (vision(KEYS, serviceAccount={"name": "default"}),
         r"namespaces\.vision\.serviceAccount: each namespace has an account"),
        (vision(KEYS, serviceAccount={"name": "a", "create": False, "annotations": IRSA}),
         r"namespaces\.vision\.serviceAccount: with create: false others"),
        (vision(KEYS, serviceAccount={"name": "a", "labels": {"app.kubernetes.io/name": "b"}}),
         r"namespaces\.vision\.serviceAccount\.labels: app"),
        (vision(KEYS, serviceAccount={"name": "a", "annotations": {"azure/client-id": 1}}),
         r"client-id"),
        ({"dashboard": {"store": {**KEYS, "serviceAccount": True}}}, r"dashboard\.store: give acc"),
        ({"dashboard": {"store": {"existingSecret": "a", "serviceAccount": True}}},
         r"dashboard\.store: give existingSecret or"),
        ({"dashboard": {"store": {}}}, r"dashboard\.store\.accessKeyId .*serviceAccount: true"),
        ({"dashboard": {"serviceAccount": {"name": "a"}}}, r"name"),
        ({"store": {**YOURS, "stsEndpoint": "sts.example.org"}}, r"stsEndpoint"),
        ({"networkPolicy": {"identityAgents": ["169.254.170.23"]}}, r"identityAgents"),
    ],
)  # fmt: skip
def test_what_can_be_no_identity_is_refused_by_name(values: dict[str, Any], told: str) -> None:
    whole = {**BY_ROLE, **values}
    with pytest.raises(ChartRefusedError, match=told):
        render(whole)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (vision({"serviceAccount": True}),
         r"namespaces\.vision\.store\.serviceAccount: the embedded store knows keys alone"),
        ({"dashboard": {"store": {"serviceAccount": True}}}, r"dashboard\.store\.serviceAccount: "),
        ({"store": {"stsEndpoint": "https://s.example.org"}}, r"store\.stsEndpoint belongs to"),
        ({"store": {"audience": "minio"}}, r"store\.audience belongs to"),
    ],
)  # fmt: skip
def test_the_embedded_store_lends_no_keys(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ChartRefusedError, match=told):
        render(values)
