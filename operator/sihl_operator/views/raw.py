"""What the API server sends, as it sends it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sihl_api.times import since_1970

Raw = Mapping[str, Any]
Key = tuple[str, str]
"""(namespace, name)."""


def parse(text: str | None) -> float | None:
    """Seconds since 1970, or None for None."""
    return since_1970(text) if text else None


def lean(raw: Raw) -> dict[str, Any]:
    """An object without the fields' managers: a third of it, which nobody here reads."""
    kept = {name: value for name, value in raw["metadata"].items() if name != "managedFields"}
    return {**raw, "metadata": kept}
