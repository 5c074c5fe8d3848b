"""A job's metrics: what became of each, or every point that counts."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from sihl_api.times import rfc3339
from sihl_dashboard.cli.plot import Canvas, chart
from sihl_dashboard.cli.terminal import shown, table
from sihl_dashboard.records import Curves, Job, JobRef, Records, Trouble, View
from sihl_dashboard.records.curves import MOST_BUCKETS

Point = dict[str, Any]
"""step, time, and values by metric."""


def summary(records: Records, job: Job) -> dict[str, dict[str, float | int | str | None]]:
    """By metric its best value and that's step, its last, min and max.

    Of a record without a summary, as running jobs' at first, or with one that tells no metric,
    only what its lines say.
    """
    found: dict[str, dict[str, Any]] = {}
    for kind, metrics in (("validation", job.summary.validation), ("train", job.summary.train)):
        for name, metric in metrics.items():
            found[f"{kind}/{name}"] = {
                "best": metric.best.value if metric.best else None,
                "step": metric.best.step if metric.best else None,
                "better": metric.better,
                **{
                    which: point.value if (point := getattr(metric, which)) else None
                    for which in ("last", "min", "max")
                },
            }
    if not job.is_summarised or not found:
        for curve in records.curves([job.ref], View(buckets=1, ghosts=False)).curves:
            known = found.setdefault(curve.metric, {"best": None, "step": None, "better": None})
            for which in ("last", "min", "max"):
                values = getattr(curve.points, which)
                known[which] = _finite(float(values[0])) if len(values) else None
    return dict(sorted(found.items(), key=lambda each: (each[0].startswith("train/"), each[0])))


def summary_table(metrics: dict[str, dict[str, Any]]) -> list[str]:
    """As lines."""
    rows = [
        [name, *(number(told.get(each)) for each in ("best", "step", "last", "min", "max")),
         told.get("better")]
        for name, told in metrics.items()
    ]  # fmt: skip
    return table(["METRIC", "BEST", "AT STEP", "LAST", "MIN", "MAX", "BETTER"], rows)


def points(
    records: Records, ref: JobRef, metrics: Collection[str] | None
) -> tuple[list[Point], list[Trouble]]:
    """Every point of the curve that counts, by step; what was superseded is left out.

    Args:
        records: Where to read.
        ref: Which job.
        metrics: As "validation/boxes/map"; None is all.
    """
    whole = records.curves([ref], View(buckets=1, ghosts=False, metrics=metrics))
    found: dict[int, Point] = {}
    pending = [(math.floor(whole.grid.first), math.ceil(whole.grid.last))]
    while pending:
        first, last = pending.pop()
        buckets = min(last - first + 1, MOST_BUCKETS)
        # Half a step more on each side: steps lie amid their buckets, and none on an edge.
        view = View("step", buckets, first - 0.5, last + 0.5, metrics=metrics, ghosts=False)
        curves = records.curves([ref], view, max_age=math.inf)
        if buckets <= last - first and _is_crowded(curves):
            middle = (first + last) // 2
            pending += [(first, middle), (middle + 1, last)]
        else:
            _take(curves, found)
    return [found[step] for step in sorted(found)], list(whole.troubles)


def _is_crowded(curves: Curves) -> bool:
    return any((curve.points.points > 1).any() for curve in curves.curves)


def _take(curves: Curves, found: dict[int, Point]) -> None:
    for curve in curves.curves:
        for step, value, clock in zip(
            curve.points.x.tolist(), curve.points.last.tolist(), curve.clock.tolist(), strict=True
        ):
            point = found.setdefault(int(step), {"step": int(step), "time": None, "values": {}})
            point["values"][curve.metric] = value
            point["time"] = _time(clock) or point["time"]


def _time(clock: float) -> str | None:
    try:
        return rfc3339(clock)
    except (ValueError, OverflowError, OSError):
        return None


def as_csv(found: list[Point]) -> str:
    """One row a step, one column a metric; blank where none was measured there."""
    names = sorted({name for point in found for name in point["values"]})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", "time", *map(shown, names)])
    for point in found:
        values = [point["values"].get(name) for name in names]
        told = ["" if value is None else repr(value) for value in values]
        writer.writerow([point["step"], point["time"] or "", *told])
    return text.getvalue().rstrip("\n")


def as_json(job: Job, metrics: dict[str, dict[str, Any]], found: list[Point]) -> str:
    """What JSON has no number for is null."""
    told = [
        {**point, "values": {name: _finite(value) for name, value in point["values"].items()}}
        for point in found
    ]
    document = {"job": job.ref.job, "record": job.ref.folder, "metrics": metrics, "points": told}
    return json.dumps(document, indent=2, allow_nan=False)


# --- curves, and what lies around a step ------------------------------------------------------

_PLOTTED = 4
"""Charts that fit on a screen."""
_BEFORE, _AFTER = 3, 2


def to_plot(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Of all metrics those to begin with: such as are better high or low, then losses."""

    def rank(name: str) -> tuple[bool, bool, int]:
        is_loss = name.rpartition("/")[2] == "loss"
        return not metrics[name].get("better"), not is_loss, name.count("/")

    return sorted(metrics, key=rank)[:_PLOTTED]


def plotted(records: Records, ref: JobRef, names: Sequence[str], canvas: Canvas) -> list[str]:
    """Charts of metrics, one below the other and all over the same steps.

    Args:
        records: Where to read.
        ref: Which job.
        names: As "validation/boxes/map".
        canvas: Of each chart.
    """
    view = View(buckets=canvas.columns, metrics=names, ghosts=False)
    curves = records.curves([ref], view)
    by_name = {curve.metric: curve.points for curve in curves.curves}
    lines: list[str] = []
    for name in names:
        if (points := by_name.get(name)) is None:
            lines += [*([""] if lines else ()), f"{shown(name)}: the record has no point of it"]
            continue
        last = points.last[np.isfinite(points.last)]
        title = f"{name}, last {float(last[-1]):.4g}" if len(last) else name
        lines += [
            *([""] if lines else ()),
            *chart(
                title, (curves.grid.first, curves.grid.last), points.bucket, points.min,
                points.max, canvas,
            ),
        ]  # fmt: skip
    return lines


def around(found: Sequence[Point], step: int) -> list[Point]:
    """The points of each metric next to a step: three up to it, two behind, each its own."""
    kept: dict[int, Point] = {}
    for name in {name for point in found for name in point["values"]}:
        mine = [point for point in found if name in point["values"]]
        here = sum(point["step"] <= step for point in mine)
        for point in mine[max(here - _BEFORE, 0) : here + _AFTER]:
            values = kept.setdefault(point["step"], {**point, "values": {}})["values"]
            values[name] = point["values"][name]
    return [kept[each] for each in sorted(kept)]


def around_table(near: Sequence[Point], step: int) -> list[str]:
    """By metric its values up to a step and behind it, each with the step that it is of."""
    rows: list[list[object]] = []
    for name in sorted({name for point in near for name in point["values"]}):
        told = [
            (point["step"], f"{number(point['values'][name])} at {point['step']}")
            for point in near
            if name in point["values"]
        ]
        upto = [text for at, text in told if at <= step]
        behind = [text for at, text in told if at > step]
        rows.append([name, *[""] * (_BEFORE - len(upto)), *upto, *behind,
                     *[""] * (_AFTER - len(behind))])  # fmt: skip
    header = ["METRIC", *[""] * (_BEFORE - 1), f"UP TO {step}", "BEHIND", *[""] * (_AFTER - 1)]
    return table(header, rows)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def number(value: object) -> str:
    """Four digits that count; steps as they are."""
    return f"{value:.4g}" if isinstance(value, float) else shown(value)
