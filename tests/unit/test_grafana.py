"""Grafana's dashboards are what the code writes, of metrics that there are, in Grafana's form."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.__main__ import FOLDER, written
from grafana.metrics import all_metrics, named, table, unknown
from grafana.panels import UnknownMetricError, curves
from tests.unit.test_alerts import ROOT, rules

FILES = sorted(written())
SHOWN = {name for text in written().values() for name in named(text)}


def dashboard(file: str) -> Any:
    return json.loads((FOLDER / file).read_text())


def test_the_files_are_what_the_code_writes() -> None:
    told = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    assert told == written(), "write them anew: make dashboards"


@pytest.mark.parametrize("file", FILES)
def test_grafanas_own_type_of_a_dashboard_holds_all_that_is_in_it(file: str) -> None:
    found = dashboard(file)
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(found)))
    assert read == found


@pytest.mark.parametrize("file", FILES)
def test_every_panel_has_a_number_a_sentence_and_the_source_that_is_chosen(file: str) -> None:
    panels = dashboard(file)["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    shown = [panel for panel in panels if panel["type"] != "row"]
    assert shown
    for panel in shown:
        assert panel["description"].endswith(".")
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        letters = [target["refId"] for target in panel["targets"]]
        assert len(letters) == len(set(letters)) > 0


@pytest.mark.parametrize("file", FILES)
def test_no_panel_lies_on_another(file: str) -> None:
    taken = set[tuple[int, int]]()
    for panel in dashboard(file)["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


@pytest.mark.parametrize("file", FILES)
def test_every_variable_that_a_query_uses_is_there_to_be_chosen(file: str) -> None:
    found = dashboard(file)
    chosen = {variable["name"] for variable in found["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(found))) - {"__rate_interval"}
    assert used == chosen


def test_every_metric_is_on_a_dashboard() -> None:
    missing = [m.name for m in all_metrics() if not set(m.series) & SHOWN]
    assert missing == []


def test_a_metric_that_nobody_tells_is_on_no_dashboard() -> None:
    with pytest.raises(UnknownMetricError, match="sihl_training_velocity"):
        curves("Velocity", "Of training.", {"": "rate(sihl_training_velocity[5m])"})


def test_a_series_is_asked_for_by_its_own_name() -> None:
    asked = "sihl_operator_api_writes_total / sihl_operator_api_writes"
    assert unknown(asked) == {"sihl_operator_api_writes"}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_alerts_ask_for_metrics_that_there_are(rule: dict[str, Any]) -> None:
    asked = named(rule["expr"])
    assert asked or "kubelet_volume_stats" in rule["expr"]
    assert unknown(rule["expr"]) == set()


def test_labels_that_alerts_and_dashboards_name_are_the_metrics_own_or_their_targets() -> None:
    theirs = {"job", "instance", "pod", "node", "le", "alertname", "persistentvolumeclaim"}
    known = theirs | {label for metric in all_metrics() for label in metric.labels}
    texts = [yaml.safe_dump(rules()), *written().values()]
    by = [names for text in texts for names in re.findall(r"by \(([^)]*)\)", text)]
    assert by
    assert {name.strip() for names in by for name in names.split(",")} <= known


def test_the_page_of_metrics_has_all_of_them_and_no_others() -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    told = [line for line in page.splitlines() if line.startswith("| `sihl_")]
    assert told == [line for line in table().splitlines() if line.startswith("| `sihl_")]


def test_the_page_links_every_alerts_page() -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    assert re.findall(r"\(runbooks/(\w+)\.md\)", page) == [rule["alert"] for rule in rules()]
