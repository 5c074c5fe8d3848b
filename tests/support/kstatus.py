"""What kstatus (Flux, helm's --wait) and `kubectl wait` read of an object: their rules, as a table.

Those of github.com/fluxcd/cli-utils 1.2 for a kind that it does not know by name, and of kubectl
1.37. A real helm and a real kubectl are held against it on the API server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

Raw = Mapping[str, Any]


class Verdict(StrEnum):
    """What kstatus makes of an object. Waiting ends with Current and with Failed."""

    TERMINATING = "Terminating"
    IN_PROGRESS = "InProgress"
    FAILED = "Failed"
    CURRENT = "Current"


_GENERIC = {("Reconciling", "True"): Verdict.IN_PROGRESS, ("Stalled", "True"): Verdict.FAILED}
_READY = {
    ("Ready", "True"): Verdict.CURRENT,
    ("Ready", "False"): Verdict.IN_PROGRESS,
    ("Ready", "Unknown"): Verdict.IN_PROGRESS,
}


def verdict(raw: Raw) -> tuple[Verdict, str]:
    """What kstatus says of an object, and the message that it shows a person."""
    observed = (raw.get("status") or {}).get("observedGeneration")
    if raw["metadata"].get("deletionTimestamp"):
        return Verdict.TERMINATING, ""
    if observed is not None and observed != raw["metadata"].get("generation"):
        return Verdict.IN_PROGRESS, ""
    for table in (_GENERIC, _READY):
        for each in _conditions(raw):
            if found := table.get((each["type"], each["status"])):
                return found, str(each.get("message", ""))
    return Verdict.CURRENT, ""


def waited_for(raw: Raw, kind: str, status: str = "True") -> bool:
    """Whether `kubectl wait --for=condition=KIND=STATUS` returns; letters' case does not matter."""
    found = next((c for c in _conditions(raw) if c["type"].lower() == kind.lower()), None)
    if found is None:
        return False
    observed = found.get("observedGeneration", raw["status"].get("observedGeneration"))
    if observed is not None and observed < raw["metadata"]["generation"]:
        return False
    return bool(found["status"].lower() == status.lower())


def _conditions(raw: Raw) -> Sequence[Raw]:
    return (raw.get("status") or {}).get("conditions") or ()
