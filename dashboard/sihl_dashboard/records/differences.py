"""What differs between jobs, and what came of it: settings, data, a baseline's deltas, seeds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sihl_api.record import Better, JobSummary, MetricSummary
from sihl_dashboard.records.errors import Trouble
from sihl_dashboard.records.facts import Fact, Facts, varying
from sihl_dashboard.records.refs import JobRef

Which = Literal["best", "last", "min", "max"]

SEED = "spec.training.seed"
_NOT_LEARNT = ("spec.priority", "spec.suspend", "spec.training.pictures", "spec.runner.")
_LEARNT = ("spec.runner.gpus", "spec.runner.image")
"""What of the runner takes part in the result: a batch is divided among GPUs."""


@dataclass(frozen=True)
class Compared:
    """A job as it is compared: settings and dataset as facts, and its summary."""

    settings: Facts
    dataset: Facts
    summary: JobSummary | None


@dataclass(frozen=True)
class Difference:
    """A path at which jobs differ; a job that lacks it is not in `values`."""

    path: str
    values: dict[JobRef, Fact]


@dataclass(frozen=True)
class Score:
    """A job's value of a metric, beside the baseline's.

    Attributes:
        value: None if the job has none.
        step: Of that value.
        delta: To the baseline's; None where either lacks one.
        is_better: Than the baseline's; None where it is equal, or nobody says what is better.
    """

    ref: JobRef
    metric: str
    value: float | None
    step: int | None
    delta: float | None
    is_better: bool | None


@dataclass(frozen=True)
class Spread:
    """A metric among jobs that differ by their seed only.

    Attributes:
        refs: Those that have a value.
        deviation: The sample's standard deviation.
    """

    metric: str
    refs: tuple[JobRef, ...]
    mean: float
    deviation: float
    min: float
    max: float


@dataclass(frozen=True)
class Differences:
    """What differs between jobs.

    Attributes:
        settings: Of specs with their defaults, images and versions.
        dataset: Of the datasets' fingerprints.
        unknown_data: Jobs whose record does not tell their data.
    """

    settings: list[Difference]
    dataset: list[Difference]
    unknown_data: list[JobRef]
    scores: list[Score]
    spreads: list[Spread]
    troubles: tuple[Trouble, ...] = ()


def differences(
    jobs: Mapping[JobRef, Compared],
    baseline: JobRef | None,
    metrics: Sequence[str] | None,
    which: Which = "best",
    troubles: Sequence[Trouble] = (),
) -> Differences:
    """Compare jobs.

    Args:
        jobs: Any number.
        baseline: The one that the others are measured by.
        metrics: As "validation/boxes/map"; None is all of the validation.
        which: Which value of a metric counts; "best" is the last where none is better.
        troubles: What could not be read.
    """
    names = list(metrics) if metrics is not None else sorted(_validation(jobs.values()))
    data = {ref: job.dataset for ref, job in jobs.items() if job.dataset}
    return Differences(
        _differing({ref: job.settings for ref, job in jobs.items()}),
        _differing(data),
        [ref for ref in jobs if ref not in data],
        [score for name in names for score in _scores(jobs, baseline, name, which)],
        [spread for name in names for spread in _spreads(jobs, name, which)],
        tuple(troubles),
    )


def _differing(facts: Mapping[JobRef, Facts]) -> list[Difference]:
    return [
        Difference(path, {ref: each[path] for ref, each in facts.items() if path in each})
        for path in varying(facts)
    ]


def _validation(jobs: Iterable[Compared]) -> set[str]:
    return {f"validation/{n}" for job in jobs if job.summary for n in job.summary.validation}


def metric_of(summary: JobSummary | None, name: str) -> MetricSummary | None:
    """A metric by its name with its kind."""
    kind, _, rest = name.partition("/")
    if summary is None or kind not in ("train", "validation"):
        return None
    found: dict[str, MetricSummary] = getattr(summary, kind)
    return found.get(rest)


def _value(job: Compared, name: str, which: Which) -> tuple[float, int] | None:
    metric = metric_of(job.summary, name)
    if metric is None:
        return None
    point = metric.best or metric.last if which == "best" else getattr(metric, which)
    return (point.value, point.step) if point else None


def _better(jobs: Iterable[Compared], name: str) -> Better | None:
    """As any of the jobs says."""
    for job in jobs:
        metric = metric_of(job.summary, name)
        if metric and metric.better:
            return metric.better
    return None


def _scores(
    jobs: Mapping[JobRef, Compared], baseline: JobRef | None, name: str, which: Which
) -> list[Score]:
    better = _better(jobs.values(), name)
    base = _value(jobs[baseline], name, which) if baseline and baseline in jobs else None
    found = []
    for ref, job in jobs.items():
        value = _value(job, name, which)
        delta = value[0] - base[0] if value and base and ref != baseline else None
        is_better = (delta > 0) == (better == "higher") if delta and better else None
        number, step = value or (None, None)
        found.append(Score(ref, name, number, step, delta, is_better))
    return found


def _spreads(jobs: Mapping[JobRef, Compared], name: str, which: Which) -> list[Spread]:
    groups: dict[object, list[JobRef]] = {}
    for ref, job in jobs.items():
        if job.settings:
            groups.setdefault(_but_for_seed(job), []).append(ref)
    found = []
    for refs in groups.values():
        valued = [(ref, value[0]) for ref in refs if (value := _value(jobs[ref], name, which))]
        if len(valued) < 2:
            continue
        values = [value for _, value in valued]
        found.append(
            Spread(
                name,
                tuple(ref for ref, _ in valued),
                statistics.fmean(values),
                statistics.stdev(values),
                min(values),
                max(values),
            )
        )
    return found


def _but_for_seed(job: Compared) -> object:
    """What jobs that differ by their seed only have in common: all that a result rests on."""
    facts = {**job.settings, **job.dataset}
    return frozenset(
        (path, type(fact).__name__, fact)
        for path, fact in facts.items()
        if path != SEED and (path.startswith(_LEARNT) or not path.startswith(_NOT_LEARNT))
    )
