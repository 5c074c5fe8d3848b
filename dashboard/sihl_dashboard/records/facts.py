"""What is known of a job, flat: by one path each a text, a number, a truth value or None.

job.state  job.step  job.createdAt ...       what became of it
spec.training.optimizer.learningRate         heads by their names: spec.model.heads.boxes.task
image  versions.torch                        what ran
data.train.images                            the dataset's fingerprint
validation/boxes/map                         the metric's best value, or its last if none is
validation/boxes/map:last                    or :min, :max, :best, and :step of the first
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from sihl_api.record import JobSummary, MetricSummary
from sihl_dashboard.records.documents import JobDocument, dump

Fact = str | float | int | bool | None
Facts = dict[str, Fact]

MOST_FACTS = 20_000
_LONGEST = 2000
_DEEPEST = 20


def facts_of(job: JobDocument, summary: JobSummary | None) -> Facts:
    """All of a job, at most 20,000 of them."""
    found: Facts = {}
    for path, fact in _all(job, summary):
        if len(found) >= MOST_FACTS:
            break
        found[path] = fact
    return found


def _all(job: JobDocument, summary: JobSummary | None) -> Iterator[tuple[str, Fact]]:
    yield from _state(job, summary)
    yield from settings_of(job).items()
    yield from dataset_of(job).items()
    if summary is not None:
        for kind, metrics in (("train", summary.train), ("validation", summary.validation)):
            for name, metric in metrics.items():
                yield from _metric(f"{kind}/{name}", metric)


def settings_of(job: JobDocument) -> Facts:
    """Spec and what ran."""
    found = dict(flat(job.spec, "spec"))
    found.update(flat(job.versions, "versions"))
    if job.image:
        found["image"] = _fact(job.image)
    return found


def dataset_of(job: JobDocument) -> Facts:
    """The dataset's fingerprint."""
    return dict(flat(dump(job.dataset), "data")) if job.dataset else {}


def flat(value: Any, path: str, depth: int = 0) -> Iterator[tuple[str, Fact]]:
    """Leaves by their paths; lists are leaves, unless each of their items has a name."""
    if depth < _DEEPEST and isinstance(value, list) and (named := _by_name(value)):
        value = named
    if depth >= _DEEPEST or not isinstance(value, dict):
        yield path, _fact(value)
        return
    for key, child in value.items():
        if key == "name" and path.startswith("spec.model.heads."):
            continue  # it is in the path
        yield from flat(child, f"{path}.{key}", depth + 1)


def _by_name(items: list[Any]) -> dict[str, Any]:
    """Such as heads: what one is called says more than where it stands."""
    named = {
        item["name"]: item
        for item in items
        if isinstance(item, dict) and isinstance(item.get("name"), str)
    }
    return named if len(named) == len(items) else {}


def _fact(value: Any) -> Fact:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(float(value)) if abs(value) < 1e300 else "out of range"
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else _listed(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _listed(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(str(_fact(item)) for item in value[:1000])}]"
    return str(value)


def _metric(path: str, metric: MetricSummary) -> Iterator[tuple[str, Fact]]:
    shown = metric.best or metric.last
    if shown is not None:
        yield path, _fact(shown.value)
        yield f"{path}:step", shown.step
    for name in ("last", "min", "max", "best"):
        if point := getattr(metric, name):
            yield f"{path}:{name}", _fact(point.value)


STATES = ("Unfinished", "Succeeded", "Stopped", "Failed")


def state_of(summary: JobSummary | None) -> str:
    """How a job stands as far as its record says.

    Whether an attempt without an end still runs, only the cluster knows: it is unfinished.
    """
    if summary is None or not summary.attempts:
        return "Unfinished"
    last = max(summary.attempts, key=lambda attempt: attempt.number)
    if last.reason is None:
        return "Unfinished"
    if last.reason == "Succeeded":
        return "Succeeded"
    return "Stopped" if last.reason.startswith("Stopped") else "Failed"


def _state(job: JobDocument, summary: JobSummary | None) -> Iterator[tuple[str, Fact]]:
    yield "job.state", state_of(summary)
    yield "job.createdAt", _fact(job.created_at)
    if summary is None:
        return
    attempts = sorted(summary.attempts, key=lambda attempt: attempt.number)
    yield "job.updatedAt", _fact(summary.updated_at)
    yield "job.attempts", len(attempts)
    if attempts:
        yield "job.startedAt", _fact(attempts[0].started_at)
        yield "job.endedAt", _fact(attempts[-1].ended_at)
        yield "job.reason", _fact(attempts[-1].reason)
    if progress := summary.progress:
        yield "job.step", _fact(progress.step)
        yield "job.maxSteps", _fact(progress.max_steps)
        yield "job.imagesPerSecond", _fact(progress.images_per_second)


def varying(all_facts: Mapping[Any, Mapping[str, Fact]]) -> list[str]:
    """Paths at which these do not all have the same, in order."""
    paths = {path for facts in all_facts.values() for path in facts}
    return sorted(
        path
        for path in paths
        if len({_told_apart(facts, path) for facts in all_facts.values()}) > 1
    )


def _told_apart(facts: Mapping[str, Fact], path: str) -> tuple[str, Fact]:
    """1, 1.0 and True are equal in Python; a missing one is not the same as None."""
    if path not in facts:
        return ("missing", None)
    fact = facts[path]
    return ("truth" if isinstance(fact, bool) else "value", fact)
