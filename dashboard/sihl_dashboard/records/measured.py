"""An attempt's lines of metrics as columns."""

from __future__ import annotations

import json
import math
from array import array
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from sihl_api.times import since_1970

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

KINDS = ("train", "validation")
MOST_METRICS = 1000
"""Names of one attempt; a model of 16 heads has some hundred."""
MOST_STEPS = 10**9
SPELLED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass
class Column:
    """One metric: the lines that have it, and its values, finite or not."""

    lines: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))


@dataclass
class Measured:
    """Columns that grow as the attempt goes on.

    Attributes:
        steps: Of each line.
        times: Of each line, in seconds since 1970 in UTC; NaN where it names none.
        columns: By kind and name.
        taken: Bytes of the stream that are in here.
        unreadable: Lines that are none of ours.
        too_many: Whether there were more names than are kept.
    """

    steps: array[int] = field(default_factory=lambda: array("q"))
    times: array[float] = field(default_factory=lambda: array("d"))
    columns: dict[tuple[str, str], Column] = field(default_factory=dict)
    taken: int = 0
    unreadable: int = 0
    too_many: bool = False

    @property
    def size(self) -> int:
        """What it takes of memory."""
        return 16 * (len(self.steps) + sum(len(each.lines) for each in self.columns.values()))

    def add(self, data: bytes) -> None:
        """Take whole lines, the stream's next; what is behind the last newline comes again."""
        whole, newline, _ = data.rpartition(b"\n")
        self.taken += len(whole) + len(newline)
        found = _decoded([line for line in whole.split(b"\n") if line.strip()])
        if not self._add_all(found):
            for line in found:
                self._add(line)

    def _add_all(self, lines: list[Any]) -> bool:
        """Take lines column by column, in a third of the time; False: not all are plain enough."""
        try:
            steps = [line["step"] for line in lines]
            values = [line["values"] for line in lines]
            shapes: dict[tuple[str, ...], list[int]] = {}
            for number, (line, found) in enumerate(zip(lines, values, strict=True)):
                shapes.setdefault((line["kind"], *found), []).append(number)
            columns = {
                (kind, name): (numbers, [values[number][name] for number in numbers])
                for (kind, *names), numbers in shapes.items()
                for name in names
            }
        except (KeyError, TypeError):
            return False
        is_plain = (
            set(map(type, steps)) == {int}
            and 0 <= min(steps) <= max(steps) <= MOST_STEPS
            and all(kind in KINDS for kind, *_ in shapes)
            and set(map(type, values)) == {dict}
            and all(set(map(type, each)) <= {float, int} for _, each in columns.values())
            # A column's lines ascend: of two shapes they would not.
            and len(columns) == sum(len(shape) - 1 for shape in shapes)
            and len(columns.keys() | self.columns.keys()) <= MOST_METRICS
        )
        if not is_plain:
            return False
        try:
            read = {name: array("d", each) for name, (_, each) in columns.items()}
        except OverflowError:
            return False
        first = len(self.steps)
        self.steps.extend(steps)
        self.times.extend([seconds_of(line.get("time")) for line in lines])
        for name, (numbers, _) in columns.items():
            column = self.columns.setdefault(name, Column())
            column.lines.extend([first + number for number in numbers])
            column.values.extend(read[name])
        return True

    def _add(self, line: Any) -> None:
        known = _checked(line)
        if known is None:
            self.unreadable += 1
            return
        step, kind, values = known
        number = len(self.steps)
        self.steps.append(step)
        self.times.append(seconds_of(line.get("time")))
        for name, value in values.items():
            column = self.columns.get((kind, name))
            if column is None:
                if len(self.columns) >= MOST_METRICS:
                    self.too_many = True
                    continue
                column = self.columns[kind, name] = Column()
            column.lines.append(number)
            column.values.append(value)


def _decoded(lines: list[bytes]) -> list[Any]:
    """Lines as JSON; None for what is none."""
    try:  # all at once takes half the time
        found = orjson.loads(b"[" + b",".join(lines) + b"]")
        if len(found) == len(lines):
            return list(found)
    except ValueError:
        pass
    return [_decoded_one(line) for line in lines]


def _decoded_one(line: bytes) -> Any:
    """By Python's own, which also takes NaN."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _checked(line: Any) -> tuple[int, str, dict[str, float]] | None:
    try:
        step, kind, values = line["step"], line["kind"], line["values"]
        if type(step) is not int or not 0 <= step <= MOST_STEPS or kind not in KINDS:
            return None
        return step, kind, {name: _number(value) for name, value in values.items()}
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError):
        return None


def _number(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int:
        return float(value)
    return SPELLED[value]  # as JSON spells what it has no number for


def seconds_of(text: Any, unknown: float = math.nan) -> float:
    """Seconds from 1970 to an RFC 3339 time; `unknown` for what is none: clocks do not decide."""
    try:
        return since_1970(text)
    except (TypeError, ValueError, OverflowError):
        return unknown


def integers(values: array[int]) -> Integers:
    """A copy: an array that is looked at cannot grow."""
    return np.array(values, dtype=np.int64)


def floats(values: array[float]) -> Floats:
    """A copy: an array that is looked at cannot grow."""
    return np.array(values, dtype=np.float64)
