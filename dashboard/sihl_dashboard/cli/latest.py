"""`@latest` and `PROJECT@latest`: the job that one most likely means, where its name is long."""

from __future__ import annotations

from collections.abc import Iterable

from sihl_dashboard.cli.errors import CommandError
from sihl_dashboard.cli.jobs import Job
from sihl_dashboard.cli.terminal import shown

LATEST = "@latest"


def is_latest(name: str) -> bool:
    """Whether a name is none: no job's can have an @."""
    return name.endswith(LATEST)


def project_of(name: str) -> str | None:
    """The project that is named before the @; None is any."""
    return name.removesuffix(LATEST) or None


def latest_job(name: str, jobs: Iterable[Job], namespace: str) -> Job:
    """Of the jobs that hold a queue the one submitted last; where none does, of all of them.

    Raises:
        CommandError: there is none.
    """
    project = project_of(name)
    found = [job for job in jobs if project in (None, job.project)]
    if not found:
        of = f"project {shown(project)} of " if project else ""
        raise CommandError(
            f"{shown(name)}: there is no training job in {of}namespace {shown(namespace)}; records "
            "of jobs that were deleted are found by their names"
        )
    return max(found, key=lambda job: (job.phase.active, job.created, job.name))
