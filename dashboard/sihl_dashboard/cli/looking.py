"""Verbs that show what the cluster's jobs do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from sihl_api.status import Phase
from sihl_dashboard.cli.errors import CommandError, UsageError
from sihl_dashboard.cli.jobs import RESOURCE, Job, in_queues, listed, queued
from sihl_dashboard.cli.session import Session
from sihl_dashboard.cli.terminal import document, shown, table


def list_jobs(session: Session) -> int:
    """`list`: jobs, as far as they are asked for."""
    options = session.options
    phases = _phases(options.phase or ())
    namespace = None if options.all_namespaces else session.namespace
    if options.jobs and namespace is None:
        raise UsageError("jobs are named within a namespace: leave -A or the names out")
    if options.jobs and namespace is not None:
        jobs = [session.cluster.job(namespace, name) for name in options.jobs]
    else:
        jobs = session.cluster.jobs(namespace, options.selector)
    jobs = [job for job in jobs if not phases or job.phase in phases]
    jobs.sort(key=lambda job: (job.namespace, job.created, job.name))
    _print_jobs(session, jobs, lambda: listed(
        jobs, time.time(), options.output == "wide", options.all_namespaces
    ))  # fmt: skip
    return 0


def _phases(texts: Sequence[str]) -> set[Phase]:
    named = {phase.lower(): phase for phase in Phase}
    for text in texts:
        if text.lower() not in named:
            raise UsageError(f"--phase {shown(text)}: there are {', '.join(Phase)}")
    return {named[text.lower()] for text in texts}


def queue(session: Session) -> int:
    """`queue`: each queue in its order."""
    options = session.options
    namespace = None if options.all_namespaces else session.namespace
    lines = [
        (job, position)
        for job, position in in_queues(session.cluster.jobs(namespace, options.selector))
        if not options.queues or job.queue in options.queues
    ]
    _print_jobs(
        session,
        [job for job, _ in lines],
        lambda: queued(lines, time.time(), options.all_namespaces),
    )
    return 0


def top(session: Session) -> int:
    """`top`: the same on the whole terminal."""
    try:
        from sihl_dashboard.cli.topping import top
    except ImportError:  # curses is not in Python for Windows
        raise CommandError(
            "this Python has no curses, which top draws with: kubectl sihl queue prints the same "
            "once"
        ) from None
    return top(session)


def _print_jobs(
    session: Session, jobs: Sequence[Job], rows: Callable[[], tuple[list[str], list[list[object]]]]
) -> None:
    terminal, form = session.terminal, session.options.output
    if form in ("json", "yaml"):
        terminal.say(document(form, {
            "apiVersion": "v1", "kind": "List", "items": [dict(job.raw) for job in jobs]
        }))  # fmt: skip
    elif form == "name":
        terminal.say(*(f"{RESOURCE}/{shown(job.name)}" for job in jobs))
    elif jobs:
        terminal.say(*table(*rows(), colours=terminal.colours))
    else:
        where = "any namespace" if session.options.all_namespaces else session.namespace
        terminal.note(f"No training jobs found in {shown(where)}.")
