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
from collections.abc import Mapping
from itertools import islice
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
    found = _state(job, summary) | settings_of(job) | dataset_of(job)
    if summary is not None:
        for kind, metrics in (("train", summary.train), ("validation", summary.validation)):
            for name, metric in metrics.items():
                _note_metric(found, f"{kind}/{name}", metric)
    return found if len(found) <= MOST_FACTS else dict(islice(found.items(), MOST_FACTS))


def settings_of(job: JobDocument) -> Facts:
    """Spec and what ran."""
    found = flat(job.spec, "spec") | flat(job.versions, "versions")
    if job.image:
        found["image"] = _fact(job.image)
    return found


def dataset_of(job: JobDocument) -> Facts:
    """The dataset's fingerprint."""
    return flat(dump(job.dataset), "data") if job.dataset else {}


def flat(value: Any, path: str) -> Facts:
    """Leaves by their paths; lists are leaves, unless each of their items has a name."""
    found: Facts = {}
    _note(found, value, path, 0)
    return found


def _note(found: Facts, value: Any, path: str, depth: int) -> None:
    if depth < _DEEPEST and isinstance(value, list) and (named := _by_name(value)):
        value = named
    if depth >= _DEEPEST or not isinstance(value, dict):
        found[path] = _fact(value)
        return
    is_head = path.startswith("spec.model.heads.")
    for key, child in value.items():
        if is_head and key == "name":
            continue  # it is in the path
        _note(found, child, f"{path}.{key}", depth + 1)


def _by_name(items: list[Any]) -> dict[str, Any]:
    """Such as heads: what one is called says more than where it stands."""
    named = {
        item["name"]: item
        for item in items
        if isinstance(item, dict) and isinstance(item.get("name"), str)
    }
    return named if len(named) == len(items) else {}


def _fact(value: Any) -> Fact:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, int):
        if -(2**63) <= value < 2**63:
            return value
        return str(float(value)) if abs(value) < 1e300 else "out of range"
    text = value if isinstance(value, str) else _listed(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _listed(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(str(_fact(item)) for item in value[:1000])}]"
    return str(value)


def _note_metric(found: Facts, path: str, metric: MetricSummary) -> None:
    shown = metric.best or metric.last
    if shown is not None:
        found[path] = _fact(shown.value)
        found[f"{path}:step"] = shown.step
    points = (("last", metric.last), ("min", metric.min), ("max", metric.max),
              ("best", metric.best))  # fmt: skip
    for name, point in points:
        if point is not None:
            found[f"{path}:{name}"] = _fact(point.value)


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


def _state(job: JobDocument, summary: JobSummary | None) -> Facts:
    found: Facts = {"job.state": state_of(summary), "job.createdAt": _fact(job.created_at)}
    if summary is None:
        return found
    attempts = sorted(summary.attempts, key=lambda attempt: attempt.number)
    found["job.updatedAt"] = _fact(summary.updated_at)
    found["job.attempts"] = len(attempts)
    if attempts:
        found["job.startedAt"] = _fact(attempts[0].started_at)
        found["job.endedAt"] = _fact(attempts[-1].ended_at)
        found["job.reason"] = _fact(attempts[-1].reason)
    if progress := summary.progress:
        found["job.step"] = _fact(progress.step)
        found["job.maxSteps"] = _fact(progress.max_steps)
        found["job.imagesPerSecond"] = _fact(progress.images_per_second)
    return found


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
