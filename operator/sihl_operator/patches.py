"""A status as the API server stores it, and what turns one into the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sihl_api.reading import is_ours
from sihl_api.status import TrainingJobStatus as Status
from sihl_operator.views import JobView


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """What turns `old` into `new` by JSON merge patch (RFC 7386): removed keys are null."""
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            inner = merge_patch(before, value)
            if inner:
                patch[key] = inner
        elif key not in old or before != value:
            patch[key] = value
    return patch


def patch(job: JobView, new: Status) -> dict[str, Any]:
    """What makes the job's status the new one, by JSON merge patch; empty where nothing does.

    What this release does not know of the status, or cannot read, stays as it stands.
    """
    changes = merge_patch(as_json(job.status), as_json(new))
    if "conditions" not in changes:
        return changes
    ours = [each for each in changes["conditions"] or () if is_ours(each["type"])]
    others = [
        each for each in job.stored_status.get("conditions") or () if not is_ours(each["type"])
    ]
    return {**changes, "conditions": [*ours, *others] or None}


def as_json(status: Status) -> dict[str, Any]:
    """The status as the API server stores it."""
    dumped: dict[str, Any] = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dumped
