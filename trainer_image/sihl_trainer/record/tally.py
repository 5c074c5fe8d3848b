"""What became of each metric, counted line by line."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sihl_api.record import Better, MetricLine, MetricSummary, Point


class Tally:
    """Last, least and greatest value of each metric, those of training and of validation apart."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, MetricSummary]] = {"train": {}, "validation": {}}

    def add(self, line: MetricLine) -> None:
        """Count a line that was written after all before it."""
        summaries = self._found[line.kind]
        for name, value in line.values.items():
            summary = summaries.setdefault(name, MetricSummary())
            if math.isfinite(value):
                point = Point(step=line.step, value=value)
                _extend(summary, last=point, least=point, greatest=point)

    def follow(self, later: Tally) -> None:
        """Count what another has counted, of lines that were written after all of these."""
        for kind, summaries in later._found.items():
            for name, other in summaries.items():
                summary = self._found[kind].setdefault(name, MetricSummary())
                if other.last and other.min and other.max:
                    _extend(summary, other.last, other.min, other.max)

    def train(self) -> dict[str, MetricSummary]:
        """Of losses by name: the lower, the better."""
        found = self._found["train"]
        return _judged(found, dict.fromkeys(found, "lower"))

    def validation(self, better: Mapping[str, Better]) -> dict[str, MetricSummary]:
        """Of a validation's metrics by name; `better` says which value of each is the best."""
        return _judged(self._found["validation"], better)


def _extend(summary: MetricSummary, last: Point, least: Point, greatest: Point) -> None:
    summary.last = last
    if summary.min is None or least.value < summary.min.value:
        summary.min = least
    if summary.max is None or greatest.value > summary.max.value:
        summary.max = greatest


def _judged(
    found: Mapping[str, MetricSummary], better: Mapping[str, Better]
) -> dict[str, MetricSummary]:
    best = {"lower": "min", "higher": "max"}
    return {
        name: summary.model_copy(
            update={
                "better": better.get(name),
                "best": getattr(summary, best[better[name]]) if name in better else None,
            }
        )
        for name, summary in found.items()
    }
