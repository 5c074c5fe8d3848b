"""job.json and summary.json, read with patience: another release or a stranger may have written."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from pydantic import BaseModel, ValidationError

from sihl_api.fingerprint import DatasetFingerprint
from sihl_api.reading import without_unknown
from sihl_api.record import AttemptSummary, JobRecord, JobSummary, MetricSummary, Point
from sihl_api.runtime import Result
from sihl_api.trainingjob import TrainingJobSpec
from sihl_dashboard.records.errors import Trouble, printable

Document = dict[str, Any]


@dataclass(frozen=True)
class JobDocument:
    """What job.json says.

    Attributes:
        name: The job's; "" if it says none.
        uid: The whole one.
        created_at: When the record was begun, or, if known, when the job was submitted.
        image: That ran.
        versions: Of its packages.
        spec: The spec with all defaults; as it stands if this release cannot read it.
        is_typed: Whether it could.
        dataset: What it learnt from; None where nobody says.
        troubles: What could not be read.
    """

    name: str = ""
    uid: str = ""
    created_at: str | None = None
    image: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    spec: Document = field(default_factory=dict)
    is_typed: bool = False
    dataset: DatasetFingerprint | None = None
    troubles: tuple[Trouble, ...] = ()


def read_job(data: bytes, where: str) -> JobDocument:
    """Read job.json; whatever it holds, there is an answer."""
    try:
        return _described(JobRecord.model_validate_json(data), ())
    except ValidationError:
        pass  # most are readable, so the common way is the fast one
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError):
        raw = None
    if not isinstance(raw, dict):
        return JobDocument(troubles=(Trouble(where, "is not JSON: what ran is unknown"),))
    raw["spec"], unknown = without_unknown(raw.get("spec"))
    try:
        names = ", ".join(printable(f"spec.{field}") for field in unknown)
        troubles = (Trouble(where, f"has fields that this release does not know: {names}"),)
        return _described(JobRecord.model_validate(raw), troubles if unknown else ())
    except ValidationError as error:
        told = (Trouble(where, f"cannot be read in full: {_first(error)}"),)
    return _salvaged(raw, told)


def _described(record: JobRecord, troubles: tuple[Trouble, ...]) -> JobDocument:
    return JobDocument(
        name=record.name,
        uid=record.uid,
        created_at=record.submitted_at or record.created_at,
        image=record.image,
        versions=record.versions,
        spec=_effective(record.spec),
        is_typed=True,
        dataset=record.dataset,
        troubles=troubles,
    )


def _effective(spec: TrainingJobSpec) -> Document:
    """With the defaults that depend on other fields."""
    found: Document = spec.model_dump(mode="json", by_alias=True)
    found["training"]["augmentation"]["scale"] = spec.augmentation.scale
    return found


def _salvaged(raw: Document, troubles: tuple[Trouble, ...]) -> JobDocument:
    """Each field by itself, if it is what it should be."""

    def text(name: str) -> str:
        return raw[name] if isinstance(raw.get(name), str) else ""

    def pairs(name: str) -> Document:
        return raw[name] if isinstance(raw.get(name), dict) else {}

    try:
        spec, is_typed = _effective(TrainingJobSpec.model_validate(raw.get("spec"))), True
    except ValidationError:
        spec, is_typed = pairs("spec"), False
    try:
        dataset = DatasetFingerprint.model_validate(raw.get("dataset"))
    except ValidationError:
        dataset = None
    return JobDocument(
        name=text("name"),
        uid=text("uid"),
        created_at=text("submittedAt") or text("createdAt") or None,
        image=text("image"),
        versions={str(k): str(v) for k, v in pairs("versions").items()},
        spec=spec,
        is_typed=is_typed,
        dataset=dataset,
        troubles=troubles,
    )


def read_summary(data: bytes, where: str) -> tuple[JobSummary | None, tuple[Trouble, ...]]:
    """Read summary.json, without those of its entries that are none."""
    try:
        return _finite(JobSummary.model_validate_json(data), where, ())
    except ValidationError as error:
        told = (Trouble(where, f"cannot be read in full: {_first(error)}"),)
        wrong = error.errors()
    try:
        raw = json.loads(data)
        for path in sorted({each["loc"][:2] for each in wrong}, key=str, reverse=True):
            _take_out(raw, path)
        return _finite(JobSummary.model_validate(raw), where, told)
    except (ValueError, RecursionError, TypeError, LookupError):
        return None, told


def _finite(
    summary: JobSummary, where: str, troubles: tuple[Trouble, ...]
) -> tuple[JobSummary, tuple[Trouble, ...]]:
    """Without metrics that have a point of no finite value: the contract has none."""
    told = (*summary.train.values(), *summary.validation.values())
    lost = sum(not _is_finite(metric) for metric in told)
    if not lost:
        return summary, troubles
    whole = {
        kind: {name: metric for name, metric in metrics.items() if _is_finite(metric)}
        for kind, metrics in (("train", summary.train), ("validation", summary.validation))
    }
    trouble = Trouble(where, f"{lost} metrics have values that are no finite numbers")
    return summary.model_copy(update=whole), (*troubles, trouble)


def _is_finite(metric: MetricSummary) -> bool:
    for point in (metric.last, metric.min, metric.max, metric.best):
        if point is not None and not isfinite(point.value):
            return False
    return True


def reconstructed(numbers: list[int], result: Result | None, now: str = "") -> JobSummary:
    """The summary of a record that has none, from its attempts and how the last one ended.

    Args:
        numbers: The attempts', in order.
        result: Of the last one; None if it has not ended, or was killed.
        now: When it was read.
    """
    attempts = [AttemptSummary(number=number) for number in numbers]
    if result is None or not attempts:
        return JobSummary(updated_at=now, attempts=attempts)
    attempts[-1] = AttemptSummary(number=numbers[-1], reason=result.reason, last_step=result.step)
    validation = {}
    for name, text in result.metrics.items():
        try:
            value = float(text)
        except ValueError:
            continue
        if isfinite(value):
            last = Point(step=result.step or 0, value=value)
            validation[name] = MetricSummary(last=last)
    return JobSummary(updated_at=now, validation=validation, attempts=attempts)


def _take_out(raw: Any, path: tuple[int | str, ...]) -> None:
    holder = raw if len(path) == 1 else raw[path[0]]
    if isinstance(holder, list):
        del holder[int(path[-1])]
    else:
        holder.pop(path[-1], None)


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False)[0]
    words = (".".join(map(str, found["loc"])), found["msg"])
    return printable(": ".join(word for word in words if word))


def dump(model: BaseModel) -> Document:
    """As the record spells it."""
    found: Document = model.model_dump(mode="json", by_alias=True)
    return found
