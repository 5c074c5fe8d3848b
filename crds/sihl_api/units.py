"""Durations and quantities, as Kubernetes spells them."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from functools import lru_cache

DURATION_PATTERN = r"^([0-9]{1,6}h)?([0-9]{1,7}m)?([0-9]{1,7}s)?$"
QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?([numkMGTPE]|[KMGTPE]i)?$"

_DURATION = re.compile(r"^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$")
_SUFFIXES = {
    "": Decimal(1),
    **{
        s: Decimal(10) ** e
        for s, e in zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18), strict=True)
    },
    **{f"{s}i": Decimal(1024) ** e for e, s in enumerate("KMGTPE", start=1)},
}
_QUANTITY = re.compile(r"([+-]?[0-9.]+)([a-zA-Z]*)")
_MOST_DIGITS = 30


def seconds(duration: str) -> int:
    """Seconds in a duration such as `1h30m`.

    Raises:
        ValueError: not a duration.
    """
    match = _DURATION.match(duration)
    if not match or not duration:
        raise ValueError(f"{duration!r} is not a duration: write it like 90s, 10m or 1h30m")
    hours, minutes, rest = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + rest


@lru_cache(maxsize=4096)
def quantity(text: str | int | float) -> Decimal:
    """The number that a Kubernetes quantity such as `500m`, `2` or `20Gi` stands for.

    Raises:
        ValueError: not a quantity.
    """
    match = _QUANTITY.fullmatch(str(text).strip())
    try:
        if match and match.group(2) in _SUFFIXES:
            amount = Decimal(match.group(1)) * _SUFFIXES[match.group(2)]
        else:
            amount = Decimal(str(text))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount.adjusted() > _MOST_DIGITS:
        raise ValueError(f"{text!r} is not a quantity: write it like 500m, 2 or 20Gi")
    return amount


def human_bytes(count: float) -> str:
    """A count of bytes for a person: `1.5 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def human_seconds(total: float) -> str:
    """A length of time for a person: `2h05m`, `3m20s`, `12s`."""
    whole = round(total)
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"
