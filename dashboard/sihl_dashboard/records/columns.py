"""What an attempt has left as columns, which is a copy of its lines: taken where it is sound."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from sihl_api.record import ColumnName
from sihl_dashboard.records.measured import (
    KINDS,
    MOST_METRICS,
    MOST_STEPS,
    Column,
    Floats,
    Integers,
    Measured,
)


def measured_of(data: bytes) -> Measured | None:
    """The lines up to a place in them, as columns.safetensors has them; None: read the lines.

    That is so where anything is not as the trainer writes it: what a line says decides.
    """
    try:
        return _measured(load(data))
    except (SafetensorError, ValueError, KeyError, TypeError):  # the last two: types of no numpy's
        return None


def _measured(found: dict[str, NDArray[Any]]) -> Measured:
    """Raises what Python raises where something has no such form."""
    steps, times = _integers(found, ColumnName.STEPS), _floats(found, ColumnName.TIMES)
    (taken,) = _integers(found, ColumnName.BYTES).tolist()
    (unreadable,) = _integers(found, ColumnName.UNREADABLE).tolist()
    _demand(taken >= 0 and unreadable >= 0 and len(times) == len(steps))
    _demand(not len(steps) or (steps.min() >= 0 and steps.max() <= MOST_STEPS))
    read = Measured(array("q", steps.tobytes()), array("d", times.tobytes()), {}, taken, unreadable)
    for kind in KINDS:
        prefix = ColumnName.values(kind, "")
        for key in found:
            if key.startswith(prefix):
                name = key.removeprefix(prefix)
                read.columns[kind, name] = _column(found, kind, name, len(steps))
    _demand(len(read.columns) <= MOST_METRICS)
    return read


def _column(found: dict[str, NDArray[Any]], kind: str, name: str, count: int) -> Column:
    own = ColumnName.lines(kind, name)
    lines = _integers(found, own if own in found else ColumnName.lines(kind))
    values = _floats(found, ColumnName.values(kind, name))
    _demand(len(lines) == len(values) > 0)
    _demand(lines[0] >= 0 and lines[-1] < count and bool(np.all(lines[:-1] < lines[1:])))
    return Column(array("q", lines.tobytes()), array("d", values.tobytes()))


def _integers(found: dict[str, NDArray[Any]], name: str) -> Integers:
    return _of_type(found[name], np.int64)


def _floats(found: dict[str, NDArray[Any]], name: str) -> Floats:
    return _of_type(found[name], np.float64)


def _of_type(values: NDArray[Any], wanted: type[np.generic]) -> NDArray[Any]:
    _demand(values.ndim == 1 and values.dtype == wanted)
    return values


def _demand(is_so: bool) -> None:
    if not is_so:
        raise ValueError
