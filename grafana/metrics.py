"""All metrics that there are, asked of the code that tells them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family

from sihl_api.runtime import JobReference
from sihl_dashboard.server.meters import Meters
from sihl_operator.metrics import Metrics
from sihl_operator.world import World
from sihl_trainer.fetch.progress import FetchProgress
from sihl_trainer.identity import tell_whose
from sihl_trainer.supervisor.status import Status

_SERIES = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_count", "_sum"),
    "gauge": ("",),
}
"""By type, what the names of a metric's series end with."""
_SPEC = {
    "project": "p",
    "dataset": {"train": {"endpoint": "https://s3.example.com", "bucket": "bucket"}},
    "model": {"heads": [{"name": "kind", "task": "MulticlassClassification"}]},
}


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: Without what its series end with.
        kind: gauge, counter or histogram.
        text: What it is.
        labels: Of the metric itself; Prometheus adds those of its target.
        teller: Who tells it: "operator", "dashboard", "trainer" or "fetch".
    """

    name: str
    kind: str
    text: str
    labels: tuple[str, ...]
    teller: str

    @property
    def series(self) -> tuple[str, ...]:
        """The names by which it is asked for."""
        return tuple(f"{self.name}{end}" for end in _SERIES[self.kind])


@cache
def all_metrics() -> tuple[Metric, ...]:
    """Every metric, as the processes that tell them make them."""
    job = JobReference.model_validate({"namespace": "n", "name": "j", "uid": "u", "spec": _SPEC})
    fetch = FetchProgress("train").registry
    tell_whose(fetch, job, "1")
    tellers = {
        "operator": Metrics(World()).registry,
        "trainer": Status(job, 1, lambda: None).registry,
        "fetch": fetch,
        "dashboard": Meters().registry,
    }
    found: dict[str, Metric] = {}
    for teller, registry in tellers.items():
        for metric in _of(registry, teller):
            found.setdefault(metric.name, metric)
    return tuple(found.values())


def _of(registry: CollectorRegistry, teller: str) -> Iterable[Metric]:
    for family in registry.collect():
        labels = _labels(registry, family)
        yield Metric(family.name, family.type, family.documentation, labels, teller)


def _labels(registry: CollectorRegistry, family: Family) -> tuple[str, ...]:
    """The names of its labels: a family that is collected has them where it is a gauge of ours."""
    told: Any = getattr(family, "_labelnames", None)
    if told is None:
        names: Any = registry._names_to_collectors
        told = getattr(names[f"{family.name}{_SERIES[family.type][0]}"], "_labelnames", ())
    return tuple(told)


def named(expression: str) -> set[str]:
    """The series of ours that an expression in PromQL asks for."""
    return set(re.findall(r"\bsihl_\w+", expression))


def unknown(expression: str) -> set[str]:
    """Those of them that nobody tells."""
    return named(expression) - {name for metric in all_metrics() for name in metric.series}


def table() -> str:
    """All metrics as docs/observability.md has them."""
    rows = ["| metric | of | labels | what |", "|---|---|---|---|"]
    for metric in all_metrics():
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        name = f"{metric.name}{'_total' if metric.kind == 'counter' else ''}"
        rows.append(f"| `{name}` ({metric.kind}) | {metric.teller} | {labels} | {metric.text} |")
    return "".join(f"{row}\n" for row in rows)
