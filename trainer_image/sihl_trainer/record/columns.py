"""An attempt's lines of metrics as columns: what a reader of ended jobs is spared to take apart."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from sihl_api.record import ColumnName, MetricLine, RecordPaths, to_read
from sihl_api.times import since_1970
from sihl_trainer.record.segments import listed, settled, text_lines
from sihl_trainer.record.store import Store

if TYPE_CHECKING:  # the supervisor, which is small, needs them at an attempt's end only
    from numpy.typing import NDArray

MOST_BYTES = 64 << 20
"""Of lines; with a line each five seconds that is two weeks."""


@dataclass
class Columns:
    """Lines, taken one after the other.

    Attributes:
        lines: By kind, the numbers of its lines.
        values: By kind and name, the numbers of the lines that have it, and its values.
    """

    read_bytes: int = 0
    unreadable: int = 0
    steps: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    lines: dict[str, list[int]] = field(default_factory=dict)
    values: dict[tuple[str, str], tuple[list[int], list[float]]] = field(default_factory=dict)

    def add(self, line: MetricLine) -> None:
        """Take one more line."""
        number = len(self.steps)
        self.steps.append(line.step)
        self.times.append(_seconds(line.time))
        self.lines.setdefault(line.kind, []).append(number)
        for name, value in line.values.items():
            lines, values = self.values.setdefault((line.kind, name), ([], []))
            lines.append(number)
            values.append(value)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What is written, by name."""
        import numpy as np

        whole: dict[str, list[int]] = {
            ColumnName.BYTES: [self.read_bytes],
            ColumnName.UNREADABLE: [self.unreadable],
            ColumnName.STEPS: self.steps,
        }
        others: dict[str, list[float]] = {ColumnName.TIMES: self.times}
        for kind, numbers in self.lines.items():
            whole[ColumnName.lines(kind)] = numbers
        for (kind, name), (lines, values) in self.values.items():
            others[ColumnName.values(kind, name)] = values
            if len(lines) < len(self.lines[kind]):
                whole[ColumnName.lines(kind, name)] = lines
        return {
            **{name: np.array(values, dtype=np.int64) for name, values in whole.items()},
            **{name: np.array(values, dtype=np.float64) for name, values in others.items()},
        }


def write_columns(store: Store, paths: RecordPaths, attempt: int) -> None:
    """Write columns.safetensors beside the lines that are there, unless they are too many to hold.

    Raises:
        TrainerError: The store does not allow it, or is away.
    """
    from safetensors.numpy import save

    found = settled(lambda: read_columns(store, paths, attempt))
    if found is not None:
        store.put(paths.columns(attempt), save(found.tensors()))


def read_columns(store: Store, paths: RecordPaths, attempt: int) -> Columns | None:
    """An attempt's lines, each once and in order, as columns; None where they are too many.

    Raises:
        MissingObjectError: What was listed has been merged meanwhile: begin anew (see `settled`).
    """
    sizes = {item.key: item.bytes for item in listed(store, paths, attempt, "metrics")}
    if sum(sizes.values()) > MOST_BYTES:
        return None
    keys = to_read(sizes)
    found = Columns(read_bytes=sum(sizes[key] for key in keys))
    for key in keys:
        for text in text_lines(store.read(key)):
            if not text.strip():
                continue
            try:
                found.add(MetricLine.model_validate_json(text))
            except ValidationError:
                found.unreadable += 1
    return found


def _seconds(time: str) -> float:
    try:
        return since_1970(time)
    except ValueError:
        return math.nan
