"""The rows of a file as the tables of docs/tasks.md."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from tests.bench.tasks.plans import PLANS, Plan
from tests.bench.tasks.rows import Row, best, figure, markdown, told
from tests.bench.tasks.runs import FEW, OURS, SIZE, SPLITS, THREE, TRIVIALLY
from tests.bench.tasks.several import METRICS, PARTS, SEEDS, SPLIT_TASK, WITH, WITHOUT
from tests.bench.tasks.sizes import TRAPS

Rows = Mapping[str, Row]
NUMBERS = {
    "auroc_of_anomalies": "AUROC",
    "nearest5": "5-NN accuracy",
    "recall1": "recall@1",
    "map50": "AP@50",
    "map": "AP",
    "miou": "mIoU",
    "pq": "PQ",
    "abs_rel": "abs-rel",
    "mae": "MAE",
    "f1": "F1",
    "psnr": "PSNR, dB",
    "exact_match": "exact match",
    "accuracy": "accuracy",
}
"""What metrics are called where people read them."""


def every_table(rows: Rows) -> str:
    """All tables of which there is a row."""
    tables = [tasks(rows), other_splits(rows), few_labels(rows), three_tasks(rows), large(rows)]
    return "\n\n".join(table for table in tables if table)


def tasks(rows: Rows) -> str:
    """Each task beside a baseline and the best of what else learnt it."""
    header = ["task", "data", "metric", "ours", "aim", "trivial", "other library",
              "seconds", "steps", "peak, MiB"]  # fmt: skip
    lines = [_task(name, plan, rows) for name, plan in PLANS.items() if _any(name, plan, rows)]
    return markdown(header, lines) if lines else ""


def _any(name: str, plan: Plan, rows: Rows) -> bool:
    return any(f"{name}/{each}" in rows for each in (OURS, TRIVIALLY, *plan.others))


def _task(name: str, plan: Plan, rows: Rows) -> list[str]:
    ours = rows.get(f"{name}/{OURS}")
    others = [row for each in plan.others if (row := rows.get(f"{name}/{each}"))]
    return [
        plan.task.words,
        f"{plan.kind}, {plan.images:,}" if plan.images else plan.kind,
        NUMBERS.get(plan.metric, plan.metric),
        told(ours),
        figure(plan.aim),
        told(rows.get(f"{name}/{TRIVIALLY}")),
        told(best(others, plan.least)),
        *_cost(ours),
    ]


def _cost(row: Row | None) -> list[str]:
    """Seconds, steps, peak."""
    if row is None:
        return ["", "", ""]
    values = (row.seconds, row.steps, row.peak)
    return ["" if value is None else f"{value:,.0f}" for value in values]


def other_splits(rows: Rows) -> str:
    """A task by the seed of its data, ours and another library's."""
    plan = PLANS[SPLIT_TASK]
    lines = []
    for which in (OURS, *plan.others):
        found = [rows.get(f"{SPLITS}/{which}/{seed}") for seed in SEEDS]
        model = next((row.model for row in found if row and row.model), which)
        lines += _by_seed(model, [row.value if row else None for row in found])
    number = NUMBERS.get(plan.metric, plan.metric)
    return _seeds_table(f"{plan.task.words}, {number}", lines)


def few_labels(rows: Rows) -> str:
    """MAE with 5 % of the labels, by seed."""
    lines = []
    for which in (WITHOUT, WITH):
        found = [rows.get(f"{FEW}/{which}/{seed}") for seed in SEEDS]
        lines += _by_seed(f"{which} view invariance", [row.value if row else None for row in found])
    return _seeds_table("regression, 5 % labelled", lines)


def _by_seed(name: str, values: Sequence[float | None]) -> list[list[str]]:
    """A line with each seed's value, their mean and how far they scatter; none without values."""
    known = [value for value in values if value is not None]
    if not known:
        return []
    spread = statistics.stdev(known) if len(known) > 1 else None
    return [[name, *map(figure, (*values, statistics.mean(known), spread))]]


def _seeds_table(title: str, lines: Sequence[Sequence[str]]) -> str:
    header = [title, *(f"seed {seed}" for seed in SEEDS), "mean", "s.d."]
    return markdown(header, lines, names=1) if lines else ""


def three_tasks(rows: Rows) -> str:
    """Each task alone and together: what it reaches, and seconds a step."""
    lines = []
    for which in METRICS:
        row = rows.get(f"{THREE}/{which}")
        if row is not None:
            cells = [figure(row.results.get(metric)) for _, metric in PARTS.values()]
            each = row.seconds / row.steps if row.seconds and row.steps else None
            lines.append([row.fault or which, *cells, figure(each), *_cost(row)])
    names = [metric for _, metric in PARTS.values()]
    header = ["heads", *names, "s a step", "seconds", "steps", "peak, MiB"]
    return markdown(header, lines, names=1) if lines else ""


def large(rows: Rows) -> str:
    """A step and a validation batch of what is large, beside a tenth of it."""
    lines = []
    for name, trap in TRAPS.items():
        for amount in trap.sizes:
            row = rows.get(f"{SIZE}/{name}/{amount}")
            if row is not None:
                costs = "; ".join(f"{k} {figure(v)}" for k, v in row.results.items())
                peak = "" if row.peak is None else f"{row.peak:,.0f}"
                lines.append([trap.told.format(f"{amount:,}"), row.fault or costs, peak])
    header = ["what is large", "cost", "peak, MiB"]
    return markdown(header, lines) if lines else ""
