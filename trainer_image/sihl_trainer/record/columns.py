"""An attempt's lines of metrics as columns: what a reader of ended jobs is spared to take apart."""

from __future__ import annotations

from datetime import datetime

from pydantic import ValidationError

from sihl_api.record import KindColumns, MetricColumns, MetricLine, RecordPaths, to_read
from sihl_trainer.record.segments import listed, settled, text_lines
from sihl_trainer.record.store import Store

MOST_BYTES = 64 << 20
"""Of lines; with a line each five seconds that is two weeks."""


def write_columns(store: Store, paths: RecordPaths, attempt: int) -> None:
    """Write columns.json beside the lines that are there, unless they are too many to hold.

    Raises:
        TrainerError: The store does not allow it, or is away.
    """
    found = settled(lambda: read_columns(store, paths, attempt))
    if found is not None:
        store.put(paths.columns(attempt), found.model_dump_json(by_alias=True).encode())


def read_columns(store: Store, paths: RecordPaths, attempt: int) -> MetricColumns | None:
    """An attempt's lines, each once and in order, as columns; None where they are too many.

    Raises:
        MissingObjectError: What was listed has been merged meanwhile: begin anew (see `settled`).
    """
    sizes = {item.key: item.bytes for item in listed(store, paths, attempt, "metrics")}
    if sum(sizes.values()) > MOST_BYTES:
        return None
    keys = to_read(sizes)
    found = MetricColumns(bytes=sum(sizes[key] for key in keys))
    for key in keys:
        for text in text_lines(store.read(key)):
            if not text.strip():
                continue
            try:
                add(found, MetricLine.model_validate_json(text))
            except ValidationError:
                found.unreadable += 1
    return found


def add(columns: MetricColumns, line: MetricLine) -> None:
    """Add one line to the columns."""
    of_kind: KindColumns = getattr(columns, line.kind)
    before = len(of_kind.lines)
    of_kind.lines.append(len(columns.steps))
    columns.steps.append(line.step)
    columns.times.append(_seconds(line.time))
    for name, value in line.values.items():
        values = of_kind.values.setdefault(name, [])
        values.extend([None] * (before - len(values)))
        values.append(value)
    for values in of_kind.values.values():
        values.extend([None] * (before + 1 - len(values)))


def _seconds(time: str) -> float | None:
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return None
