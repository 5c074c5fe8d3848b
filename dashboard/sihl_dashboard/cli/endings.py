"""How a job ended, for a shell: an exit code and a line."""

from __future__ import annotations

from dataclasses import dataclass

from sihl_api.status import Phase
from sihl_dashboard.cli.jobs import Job
from sihl_dashboard.cli.terminal import shown

SUCCEEDED, FAILED, STOPPED, INTERRUPTED = 0, 3, 4, 130
"""Beside 1, where the command itself failed, and 2, where it was mistyped."""


@dataclass(frozen=True)
class Ending:
    """A job's end."""

    exit_code: int
    text: str
    then: tuple[str, str] | None = None
    """What one may want to do next, and the verb that does it."""


def ending(job: Job) -> Ending | None:
    """How it ended; None while it goes on, or is about to: a stopped one that was resumed.

    A job that is refused has failed for whoever waits: nothing but its user brings it on.
    """
    reason, message = job.why
    match job.phase:
        case Phase.SUCCEEDED:
            metrics = ", ".join(f"{k} {v}" for k, v in sorted((job.status.metrics or {}).items()))
            told = f": {metrics}" if metrics else ""
            return Ending(
                SUCCEEDED,
                shown(f"{job.name} succeeded{told}"),
                ("fetch it", "pull"),
            )
        case Phase.FAILED:
            told = f"{job.name} failed ({reason}): {message}"
            return Ending(FAILED, shown(told, 2000))
        case Phase.QUEUED if job.refused:
            told = f"{job.name} is refused ({reason}): {job.refused}"
            return Ending(FAILED, shown(told, 2000))
        case Phase.STOPPED if job.suspended:
            saved = job.status.checkpoint
            where = f"its checkpoint is of step {saved.step}" if saved else "it has no checkpoint"
            return Ending(STOPPED, f"{job.name} was stopped, {where}", ("go on", "resume"))
    return None
