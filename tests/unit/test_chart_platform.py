"""What a platform team sets of the chart's pods and of what is beside them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.chart import CHART, ChartRefusedError, one, render
from tests.unit.test_chart import TWO

pytestmark = pytest.mark.slow  # helm is built from its sources first: part of `make test`

PLACE: dict[str, Any] = {
    "priorityClassName": "high",
    "podLabels": {"team": "platform"},
    "podAnnotations": {"prometheus.io/scrape": "false", "note": "kept"},
    "nodeSelector": {"pool": "system"},
    "tolerations": [{"key": "system", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
}
PLACES = {**TWO, "operator": PLACE, "dashboard": PLACE, "store": {"embedded": PLACE}}
MONITORS = {
    name: {"enabled": True, "labels": {"release": "prometheus"}}
    for name in ("serviceMonitor", "podMonitor", "prometheusRule", "grafanaDashboards")
}
DIGEST = f"sha256:{'0' * 64}"
KINDS = ("Deployment", "StatefulSet")


def workloads(objects: list[Any]) -> dict[str, Any]:
    """Pod templates by name."""
    return {
        each["metadata"]["name"]: each["spec"]["template"]
        for each in objects
        if each["kind"] in KINDS
    }


def test_each_of_the_three_workloads_takes_over_all_that_places_and_marks_pods() -> None:
    found = workloads(render({**PLACES, "commonLabels": {"team": "all"}}))
    assert set(found) == {"sihl-operator", "sihl-dashboard", "sihl-store"}
    for name, template in found.items():
        spec, metadata = template["spec"], template["metadata"]
        for field in ("priorityClassName", "nodeSelector", "tolerations", "affinity"):
            assert spec[field] == (
                PLACE[field] | {"kubernetes.io/os": "linux"}
                if field == "nodeSelector"
                else PLACE[field]
            ), f"{name}: {field}"
        (spread,) = spec["topologySpreadConstraints"]
        selector = spread["labelSelector"]["matchLabels"]
        assert selector["app.kubernetes.io/name"] == name
        assert metadata["labels"].items() >= {"team": "platform", **selector}.items()
        assert metadata["annotations"].items() >= PLACE["podAnnotations"].items()


def test_common_labels_are_on_every_object_and_pod_and_select_none() -> None:
    objects = render({**TWO, "commonLabels": {"team": "platform"}})
    for each in objects:
        assert each["metadata"]["labels"]["team"] == "platform", each["metadata"]["name"]
        if each["kind"] in KINDS:
            assert each["spec"]["template"]["metadata"]["labels"]["team"] == "platform"
            assert "team" not in each["spec"]["selector"]["matchLabels"]


@pytest.mark.parametrize(
    "values",
    [
        {"commonLabels": {"app.kubernetes.io/name": "mine"}},
        {"operator": {"podLabels": {"app.kubernetes.io/instance": "mine"}}},
    ],
)
def test_the_charts_own_labels_are_not_given_to_others(values: dict[str, Any]) -> None:
    with pytest.raises(
        ChartRefusedError, match=r"Labels: app.kubernetes.io/\w+ is the chart's own"
    ):
        render(values)


def test_a_registry_of_all_stands_before_every_image_that_names_none() -> None:
    values = {
        **TWO,
        "global": {"imageRegistry": "r.example:5000/mirror", "imagePullSecrets": [{"name": "g"}]},
        "imagePullSecrets": [{"name": "p"}],
        "operator": {"image": {"digest": DIGEST}},
        "dashboard": {"image": {"repository": "other.example/sihl/dashboard", "tag": "1"}},
    }
    templates = workloads(render(values))
    images = {
        container["image"]
        for template in templates.values()
        for kind in ("containers", "initContainers")
        for container in template["spec"].get(kind, [])
    }
    ours = f"r.example:5000/mirror/sihl/operator@{DIGEST}"
    assert images == {ours, "other.example/sihl/dashboard:1"}
    for template in templates.values():
        assert template["spec"]["imagePullSecrets"] == [{"name": "g"}, {"name": "p"}]
    env = templates["sihl-operator"]["spec"]["containers"][0]["env"]
    told = {each["name"]: each.get("value", "") for each in env}
    assert told["SIHL_OPERATOR_TRAINER_IMAGE"].startswith("r.example:5000/mirror/sihl/trainer:")
    assert told["SIHL_OPERATOR_IMAGE_PULL_SECRETS"] == "g,p"


def test_no_user_is_named_where_the_cluster_assigns_one() -> None:
    for name, template in workloads(
        render({**TWO, "securityContext": {"runAsUser": None}})
    ).items():
        assert set(template["spec"]["securityContext"]) == {"runAsNonRoot", "seccompProfile"}, name
    for template in workloads(render(TWO)).values():
        assert template["spec"]["securityContext"]["fsGroup"] == 10001


def test_services_have_the_ip_families_that_are_asked_for() -> None:
    wanted = {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6", "IPv4"]}
    services = [each for each in render({**TWO, "service": wanted}) if each["kind"] == "Service"]
    assert len(services) == 3
    for each in services:
        assert each["spec"].items() >= wanted.items()
    assert not [e for e in render(TWO) if e["kind"] == "Service" and "ipFamilies" in e["spec"]]


def test_what_watches_is_rendered_where_it_is_switched_on_and_only_there() -> None:
    objects = render({**TWO, "monitoring": MONITORS})
    kinds = sorted(
        (each["kind"], each["metadata"]["name"])
        for each in objects
        if each["apiVersion"].startswith("monitoring.") or each["kind"] == "ConfigMap"
    )
    dashboards = sorted(path.stem for path in (CHART / "dashboards").glob("*.json"))
    assert kinds == [
        *[("ConfigMap", f"sihl-grafana-{name}") for name in dashboards],
        ("PodMonitor", "sihl-runners"),
        ("PrometheusRule", "sihl"),
        ("ServiceMonitor", "sihl-dashboard"),
        ("ServiceMonitor", "sihl-operator"),
    ]
    rule = one(objects, "PrometheusRule", "sihl")["spec"]
    assert rule == yaml.safe_load((CHART / "alerts.yaml").read_text())
    for name in dashboards:
        data = one(objects, "ConfigMap", f"sihl-grafana-{name}")["data"]
        written = json.loads((CHART / "dashboards" / f"{name}.json").read_text())
        assert json.loads(data[f"sihl-{name}.json"]) == written
    for part in ("operator", "dashboard"):
        monitor = one(objects, "ServiceMonitor", f"sihl-{part}")
        service = one(objects, "Service", f"sihl-{part}")
        assert monitor["spec"]["selector"]["matchLabels"].items() <= (
            service["metadata"]["labels"].items()
        )
        ports = {port["name"] for port in service["spec"]["ports"]}
        assert monitor["spec"]["endpoints"][0]["port"] in ports
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
    plain = render(TWO)
    assert not [each for each in plain if each["apiVersion"].startswith("monitoring.")]
    assert not [each for each in plain if each["kind"] == "ConfigMap"]


def test_a_chart_of_each_commit_has_labels_that_kubernetes_takes_and_restarts_no_pod(
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(CHART, tmp_path / "chart")
    text = (folder / "Chart.yaml").read_text()
    long = f"0.2.0-dev.g{'0' * 40}+{'a' * 12}.12"  # Flux adds the commit, and what values it has
    (folder / "Chart.yaml").write_text(re.sub(r"(?m)^version: .*$", f"version: {long}", text))
    objects = render(TWO, package=folder)
    for each in objects:
        label = each["metadata"]["labels"]["helm.sh/chart"]
        assert re.fullmatch(r"sihl-0\.2\.0[\w.-]*[a-z0-9]", label), label
        assert len(label) <= 63
    assert workloads(objects) == workloads(render(TWO))


def test_objects_of_ones_own_come_with_the_chart_as_manifest_or_text() -> None:
    name = {"name": "{{ .Release.Name }}-extra"}
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": name}
    text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: more}}"
    objects = render({"extraObjects": [manifest, text]})
    assert one(objects, "ConfigMap", "sihl-extra")
    assert one(objects, "ConfigMap", "more")


def test_the_chart_has_no_hooks() -> None:
    objects = render({**PLACES, "monitoring": MONITORS})
    hooks = [
        key
        for each in objects
        for key in each["metadata"].get("annotations") or {}
        if key.startswith(("helm.sh/hook", "argocd.argoproj.io/hook"))
    ]
    assert hooks == []


def test_values_of_an_earlier_chart_reused_render_as_the_defaults_do() -> None:
    earlier = {
        **dict.fromkeys(
            ["global", "commonLabels", "extraObjects", "securityContext", "service", "monitoring"]
        ),
        "networkPolicy": {"dnsPorts": None},
        "store": {"embedded": {"keeper": None, "podLabels": None}},
        "operator": {"podLabels": None, "podAnnotations": None},
    }
    before, after = workloads(render(TWO)), workloads(render({**TWO, **earlier}))
    for name, template in before.items():
        found = after[name]["spec"]
        assert found["securityContext"] == template["spec"]["securityContext"]
        assert after[name]["metadata"] == template["metadata"]


def leaves(schema: dict[str, Any], root: dict[str, Any], path: str = "") -> list[tuple[str, Any]]:
    """Paths of all that values may set, with a value that none of them can be."""
    schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema
    if schema.get("properties"):
        return [
            leaf
            for name, child in schema["properties"].items()
            for leaf in leaves(child, root, f"{path}/{name}")
        ]
    return [(path, 7.5 if schema.get("type") in ("object", "array") else {"odd": 1})]


def test_an_odd_value_of_any_field_is_refused_by_the_fields_name() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    found = leaves(schema, schema)
    assert len(found) > 100
    values: dict[str, Any] = {}
    for path, odd in found:
        *parents, last = path.strip("/").split("/")
        inner = values
        for each in parents:
            inner = inner.setdefault(each, {})
        inner[last] = odd
    with pytest.raises(ChartRefusedError) as refused:
        render(values)
    assert [path for path, _ in found if f"'{path}'" not in str(refused.value)] == []


def test_every_value_is_in_the_schema_and_every_field_of_the_schema_in_the_values() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    text = (CHART / "values.yaml").read_text()
    shown = yaml.safe_load(text)
    for path, _ in leaves(schema, schema):
        parts = path.strip("/").split("/")
        if parts[:2] == ["operator", "settings"] and parts[2] not in shown["operator"]["settings"]:
            continue  # told by the operator's own settings
        inner = shown
        for each in parts:
            if each in ("requests", "limits"):
                break
            assert each in inner, path
            inner = inner[each]
    render(shown)  # what is in the values and not in the schema is refused
