"""What an attempt has left as columns, which is a copy of its lines: taken where it is sound."""

from __future__ import annotations

import math
from array import array
from typing import Any

import orjson

from sihl_dashboard.records.measured import (
    KINDS,
    MOST_METRICS,
    MOST_STEPS,
    SPELLED,
    Column,
    Measured,
)


def measured_of(data: bytes) -> Measured | None:
    """The lines up to a place in them, as columns.json has them; None where they must be read.

    That is so where anything is not as the trainer writes it: what a line says decides.
    """
    try:
        found = orjson.loads(data)
        return _measured(found)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def _measured(found: Any) -> Measured:
    """Raises what Python raises where something has no such form."""
    steps, times, taken = found["steps"], found["times"], found["bytes"]
    _demand(type(taken) is int and taken >= 0 and len(times) == len(steps))
    _demand(set(map(type, steps)) <= {int} and set(map(type, times)) <= {int, float, type(None)})
    _demand(not steps or 0 <= min(steps) <= max(steps) <= MOST_STEPS)
    read = Measured(array("q", steps), _numbers(times), {}, taken, int(found["unreadable"]))
    for kind in KINDS:
        lines, values = found[kind]["lines"], found[kind]["values"]
        _demand(set(map(type, lines)) <= {int} and _ascend(lines, len(steps)))
        numbers = array("q", lines)
        for name, column in values.items():
            _demand(len(column) == len(lines))
            read.columns[kind, name] = _column(numbers, column)
    _demand(len(read.columns) <= MOST_METRICS)
    return read


def _column(lines: array[int], values: list[Any]) -> Column:
    """One metric's; None says that the line does not have it."""
    if None not in values:
        return Column(lines[:], _numbers(values))
    has = [number for number, value in enumerate(values) if value is not None]
    return Column(
        array("q", [lines[number] for number in has]),
        _numbers([values[number] for number in has]),
    )


def _numbers(values: list[Any]) -> array[float]:
    types = set(map(type, values))
    if types <= {float, int}:
        return array("d", values)
    _demand(types <= {float, int, str, type(None)})
    return array("d", [_number(value) for value in values])


def _number(value: float | str | None) -> float:
    if value is None:
        return math.nan
    return SPELLED[value] if isinstance(value, str) else value


def _ascend(lines: list[int], count: int) -> bool:
    return not lines or (
        lines[0] >= 0 and lines[-1] < count and all(map(int.__lt__, lines, lines[1:]))
    )


def _demand(is_so: bool) -> None:
    if not is_so:
        raise ValueError
