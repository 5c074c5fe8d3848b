"""The live view: a table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.table import Table

from demo.commands import DemoError
from demo.jobs import JobView

POLL_SECONDS = 1.0
PLAIN_SECONDS = 15.0
LONGEST_SECONDS = 3600.0
PATIENCE_SECONDS = 60.0
"""So long a cluster may be silent."""
_COLOURS = {"Succeeded": "green", "Failed": "red", "Running": "cyan", "Starting": "yellow"}


def watch(look: Callable[[], list[JobView]], console: Console) -> list[JobView]:
    """Show the jobs until all have ended; returns how they ended.

    Raises:
        DemoError: They do not end.
    """
    seen = started = time.monotonic()
    said: dict[str, str] = {}
    said_at = started
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            now = time.monotonic()
            try:
                jobs, seen = look(), now
            except DemoError:
                if now - seen > PATIENCE_SECONDS:
                    raise
                time.sleep(POLL_SECONDS)
                continue
            if console.is_terminal:
                live.update(table(jobs, now - started), refresh=True)
            else:
                due = now - said_at > PLAIN_SECONDS
                said_at = now if due else said_at
                for job in jobs:
                    if said.get(job.name) != job.phase or (due and not job.ended):
                        said[job.name] = job.phase
                        print(f"  {now - started:4.0f} s  {line(job)}", flush=True)
            if jobs and all(job.ended for job in jobs):
                return jobs
            if now - started > LONGEST_SECONDS:
                raise DemoError(f"the jobs have not ended after {LONGEST_SECONDS / 60:.0f} minutes")
            time.sleep(POLL_SECONDS)


def table(jobs: list[JobView], elapsed: float) -> Table:
    """The jobs as a table."""
    shown = Table(title=f"TrainingJobs, {elapsed:.0f} s", title_justify="left")
    for column in ("job", "project", "phase", "position", "dataset", "step", "left", "metrics"):
        shown.add_column(column, overflow="fold")
    for job in jobs:
        position = "" if job.position is None else str(job.position)
        shown.add_row(
            job.name, job.project, f"[{_COLOURS.get(job.phase, 'white')}]{job.phase or '-'}[/]",
            position, job.dataset, job.step, job.left, metrics(job),
        )  # fmt: skip
    return shown


def line(job: JobView) -> str:
    """A job as one line."""
    parts = [f"{job.name:22} {job.phase or '-':9}"]
    if job.position is not None:
        parts.append(f"position {job.position}")
    if job.dataset:
        parts.append(f"dataset {job.dataset}")
    if job.step:
        parts.append(f"step {job.step}")
    if job.left:
        parts.append(f"{job.left} left")
    return "  ".join([*parts, metrics(job)]).rstrip()


def metrics(job: JobView) -> str:
    """A job's last metrics in a line."""
    return ", ".join(f"{name} {value}" for name, value in sorted(job.metrics.items()))
