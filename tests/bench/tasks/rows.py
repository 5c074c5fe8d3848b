"""What a run measured, as a line of a file; and tables of such lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

MARGIN = 0.96
"""Of the time is planned: the schedule has to end before the time does."""
NOTHING = ""


@dataclass(frozen=True)
class Row:
    """One run of one model.

    Args:
        run: Its name: `detection/ours`.
        model: What learnt: "ours", "the mean", "torchvision FCOS".
        metric: The name of what the table shows.
        value: Its value; None where the run failed.
        seconds: Of learning, by the clock of its cores.
        steps: Of the optimizer; None: it has none.
        peak: Most resident memory of the run's process, MiB.
        results: Everything that was measured, by name.
        fault: Why there is no value.
        minutes, threads: What the run was given.
    """

    run: str
    model: str = ""
    metric: str = ""
    value: float | None = None
    seconds: float | None = None
    steps: int | None = None
    peak: float | None = None
    results: Mapping[str, float] = field(default_factory=dict)
    fault: str | None = None
    minutes: float = 10.0
    threads: int = 2

    @property
    def parts(self) -> list[str]:
        """The run's name, part by part."""
        return self.run.split("/")


def steps_within(seconds: float, step_seconds: float, margin: float = MARGIN) -> int:
    """How many steps fit into a time, at least one."""
    return max(1, int(seconds * margin / step_seconds))


def append(path: Path, row: Row) -> None:
    """Add a line; several processes may, at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(asdict(row)) + "\n")


def read(path: Path) -> dict[str, Row]:
    """The rows of a file by their run, the last of each; none where there is no file yet."""
    if not path.exists():
        return {}
    rows = [Row(**json.loads(line)) for line in path.read_text().splitlines()]
    return {row.run: row for row in rows}


# --- tables ----------------------------------------------------------------------------------


def markdown(header: Sequence[str], lines: Iterable[Sequence[str]], names: int = 2) -> str:
    """A table; all columns but the first `names` are numbers, on the right."""
    rule = [":--" if place < names else "--:" for place in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, rule, *lines])


def figure(value: float | None) -> str:
    """A number with as many digits as tell something."""
    if value is None:
        return NOTHING
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 1 else (
        f"{value:.3f}"
    )  # fmt: skip


def told(row: Row | None) -> str:
    """A row's value, and whose it is unless it is ours; or that it failed."""
    if row is None:
        return NOTHING
    if row.value is None:
        return f"failed: {row.fault}"
    return figure(row.value) if row.model == "ours" else f"{figure(row.value)} ({row.model})"


def best(rows: Sequence[Row], least: bool) -> Row | None:
    """The row with the best value; where all failed, the first."""
    measured = [row for row in rows if row.value is not None]
    if not measured:
        return rows[0] if rows else None
    return sorted(measured, key=lambda row: row.value or 0.0, reverse=not least)[0]
