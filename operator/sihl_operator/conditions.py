"""A status's conditions, one of a type. Values: each function returns the next status.

A transition time moves only when its condition's status does.
"""

from __future__ import annotations

import re

from sihl_api.status import Condition, ConditionType
from sihl_api.status import TrainingJobStatus as Status
from sihl_api.text import shortened
from sihl_api.times import rfc3339
from sihl_operator.views import JobView

MESSAGE_LIMIT = 2000
"""Of a condition's message, in characters: a person reads it in `kubectl describe`."""

_ORDER = {kind.value: place for place, kind in enumerate(ConditionType)}
_REASON_LIMIT = 100


def condition(status: Status, kind: ConditionType) -> Condition | None:
    """The condition of that type, if the status has it."""
    return next((c for c in status.conditions or [] if c.type == kind), None)


def as_reason(text: str) -> str:
    """A text as a condition's or an Event's reason: one CamelCase word, whoever wrote it."""
    word = re.sub(r"[^A-Za-z0-9]", "", text)[:_REASON_LIMIT]
    return word if word[:1].isalpha() else f"Unspecified{word}"


def with_condition(
    job: JobView,
    status: Status,
    kind: ConditionType,
    value: bool | None,
    reason: str,
    message: str,
    now: float,
) -> Status:
    """The status with one condition set; None for Unknown."""
    text, message = "Unknown" if value is None else str(value), shortened(message, MESSAGE_LIMIT)
    reason = as_reason(reason)
    before, told = condition(status, kind), (text, reason, message, job.generation)
    if before and told == (
        before.status, before.reason, before.message, before.observed_generation
    ):  # fmt: skip
        return status
    moved = before.last_transition_time if before and before.status == text else rfc3339(now)
    new = Condition.model_validate(
        {
            "type": kind.value,
            "status": text,
            "reason": reason,
            "message": message,
            "last_transition_time": moved,
            "observed_generation": job.generation,
        }
    )
    others = [c for c in status.conditions or [] if c.type != kind]
    return status.model_copy(update={"conditions": sorted([*others, new], key=_place)})


def _place(told: Condition) -> int:
    """Among the others: those of another release, or of somebody else, come last."""
    return _ORDER.get(told.type, len(_ORDER))


def without_condition(status: Status, *kinds: ConditionType) -> Status:
    """The status without the conditions of those types."""
    left = [c for c in status.conditions or [] if c.type not in kinds]
    return status.model_copy(update={"conditions": left or None})
