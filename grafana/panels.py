"""What dashboards are made of: panels over queries that are held to the list of metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from grafana_foundation_sdk.builders import dashboard, stat, table, timeseries
from grafana_foundation_sdk.builders.common import (
    ReduceDataOptions,
    StackingConfig,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.metrics import unknown

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
Queries = Mapping[str, str]
"""PromQL by legend, in which {{label}} stands for a label's value."""


class UnknownMetricError(Exception):
    """A query asks for a metric that nobody tells."""


def begun(uid: str, title: str, text: str) -> dashboard.Dashboard:
    """An empty dashboard, whose data source is chosen on its page."""
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(text)
        .tags(["sihl"])
        .refresh("30s")
        .time("now-6h", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
    )


def chosen(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """A variable: values of a label, several of them or all."""
    _held(query)
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(SOURCE)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)  # jobs come and go
    )


def number(
    title: str, text: str, queries: Queries, unit: str = "short", span: int = 4
) -> stat.Panel:
    """Numbers as they are now."""
    panel = (
        stat.Panel()
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .unit(unit)
        .span(span)
        .height(4)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    )
    for query in _asked(queries):
        panel = panel.with_target(query)
    return panel


def curves(
    title: str,
    text: str,
    queries: Queries,
    unit: str = "short",
    span: int = 12,
    stacked: bool = False,
) -> timeseries.Panel:
    """Values over time."""
    legend = VizLegendOptions().display_mode(LegendDisplayMode.LIST).show_legend(True)
    panel = (
        timeseries.Panel()
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .unit(unit)
        .span(span)
        .height(8)
        .fill_opacity(25 if stacked else 0)
        .legend(legend.placement(LegendPlacement.BOTTOM))
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if stacked:
        panel = panel.stacking(StackingConfig().mode(StackingMode.NORMAL).group("A"))
    for query in _asked(queries):
        panel = panel.with_target(query)
    return panel


def rows(title: str, text: str, query: str, span: int = 12) -> table.Panel:
    """What is so now, a row each, by its labels."""
    _held(query)
    asked = Dataquery().expr(query).ref_id("A").instant().format(PromQueryFormat.TABLE)
    return (
        table.Panel()
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .span(span)
        .height(8)
        .with_target(asked)
    )


def _asked(queries: Queries) -> list[Dataquery]:
    found = []
    for place, (legend, expression) in enumerate(queries.items()):
        _held(expression)
        query = Dataquery().expr(expression).legend_format(legend).ref_id(chr(ord("A") + place))
        found.append(query)
    return found


def _held(expression: str) -> None:
    if missing := unknown(expression):
        raise UnknownMetricError(f"nobody tells {', '.join(sorted(missing))}: {expression}")


def encoded(built: dashboard.Dashboard) -> str:
    """The JSON that Grafana takes; its panels are numbered, since links lead to a panel by that."""
    found: dict[str, Any] = json.loads(JSONEncoder().encode(built.build()))
    for place, panel in enumerate(found["panels"], start=1):
        panel["id"] = place
    return json.dumps(found, indent=2, sort_keys=True) + "\n"
