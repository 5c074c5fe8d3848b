"""What another release wrote, read with patience.

While an upgrade or a rollback is under way, operators, trainers and the CRD are of different
releases, and others write conditions of their own. What is not known strands nothing: it is left
out here, and left alone where it stands.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationError

from sihl_api.status import ConditionType, Phase, TrainingJobStatus
from sihl_api.trainingjob import TrainingJobSpec

Raw = Mapping[str, Any]
_Path = Sequence[int | str]

_PHASES = {phase.value: phase for phase in Phase}
_OURS = frozenset(kind.value for kind in ConditionType)


def is_ours(kind: str) -> bool:
    """Whether a condition of that type is one that this release writes."""
    return kind in _OURS


# --- status ----------------------------------------------------------------------------------


def knows_phase(status: Raw) -> bool:
    """Whether a status has a phase of this release's, or none."""
    phase = status.get("phase")
    return not phase or phase in _PHASES


def phase_of(status: Raw) -> Phase | None:
    """A raw status' phase, or None; of one that this release does not know, what comes nearest.

    What has ended stays so, what holds its queue is looked at anew, and the rest waits.
    """
    phase = status.get("phase")
    if not phase:
        return None
    return _PHASES.get(phase) or _nearest(status)


def _nearest(status: Raw) -> Phase:
    holds = {
        each.get("type"): str(each.get("reason"))
        for each in status.get("conditions") or ()
        if each.get("status") == "True"
    }
    if ConditionType.FINISHED in holds:
        ended = _PHASES.get(holds[ConditionType.FINISHED])
        return ended if ended is not None and ended.ended else Phase.FAILED
    if ConditionType.COMPLETE in holds:
        return Phase.SUCCEEDED
    if ConditionType.FAILED in holds:
        return Phase.FAILED
    return Phase.STARTING if ConditionType.ADMITTED in holds else Phase.QUEUED


def read_status(raw: Raw) -> TrainingJobStatus:
    """A status; what cannot be read of it is as if it were not there."""
    if not knows_phase(raw):
        raw = {**raw, "phase": phase_of(raw)}
    left = raw
    while True:
        try:
            return TrainingJobStatus.model_validate(left)
        except ValidationError as error:
            if left is raw:
                left = copy.deepcopy(dict(raw))
            _take_out(left, error.errors(include_url=False)[0]["loc"])


def _take_out(raw: Any, path: _Path) -> None:
    """What lies there or, where it is lacking, what lacks it."""
    holders: list[Any] = [raw]
    for part in path[:-1]:
        holders.append(holders[-1][part])
    for holder, part in zip(reversed(holders), reversed(path), strict=True):
        is_there = isinstance(holder, list) or part in holder
        if is_there:
            del holder[part]
            return


# --- spec ------------------------------------------------------------------------------------


def without_unknown(spec: Any) -> tuple[Any, tuple[str, ...]]:
    """A raw spec without the fields that this release does not know, and where those are."""
    try:
        TrainingJobSpec.model_validate(spec)
    except ValidationError as error:
        unknown = [each["loc"] for each in error.errors() if each["type"] == "extra_forbidden"]
    else:
        return spec, ()
    left = copy.deepcopy(spec)
    for path in unknown:
        _take_out(left, path)
    return left, tuple(".".join(map(str, path)) for path in unknown)


def read_spec(raw: Any) -> tuple[TrainingJobSpec, tuple[str, ...]]:
    """A spec that the API server took, and which of its fields this release does not know.

    Raises:
        ValidationError: what it knows is not as it should be.
    """
    left, unknown = without_unknown(raw)
    return TrainingJobSpec.model_validate(left), unknown


KnownSpec = Annotated[TrainingJobSpec, BeforeValidator(lambda raw: without_unknown(raw)[0])]
"""A field's type: the spec as far as this release knows it."""
