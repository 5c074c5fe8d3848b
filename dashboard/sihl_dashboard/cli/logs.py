"""A job's log: of its pod while that is there, else of its record."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from sihl_api.runtime import TRAINER_CONTAINER
from sihl_api.status import Phase
from sihl_dashboard.cli.endings import ending
from sihl_dashboard.cli.errors import CommandError, NotFoundError
from sihl_dashboard.cli.following import PAUSE, Follower
from sihl_dashboard.cli.jobs import Job, headline
from sihl_dashboard.cli.session import Session
from sihl_dashboard.cli.terminal import shown, shown_line
from sihl_dashboard.records import JobRef, MissingError, RecordsError

if TYPE_CHECKING:
    from sihl_dashboard.records import Line, Log, Spot

_PAGE = 60
"""Lines at a time: of so many each may have 64 KiB."""


def print_log(session: Session) -> int:
    """`logs`, with --follow, --tail and --attempt."""
    options, name = session.options, session.options.job
    job = None if session.record else _job(session, name)
    if job is None or options.attempt is not None:
        ref = session.archive.ref(name)
        _print_recorded(session, ref, options.attempt, options.tail, options.follow)
        return 0
    if options.follow:
        return _follow(session, job)
    if job.phase in (Phase.RUNNING, Phase.STOPPING) and session.cluster.has_pod(job):
        for line in session.cluster.log(job, TRAINER_CONTAINER, tail=options.tail):
            session.terminal.say(shown_line(line))
        return 0
    if not job.attempt or (job.attempt == 1 and job.phase is Phase.STARTING):
        raise CommandError(
            f"{job.name} has no log yet: {headline(job)}; wait for it by "
            f"{session.command('logs', job, '-f')}"
        )
    _print_recorded(session, session.archive.ref(name), None, options.tail, False)
    return 0


def _job(session: Session, name: str) -> Job | None:
    try:
        return session.cluster.job(session.namespace, name)
    except NotFoundError:
        return None  # it may have a record


def _follow(session: Session, job: Job) -> int:
    if job.phase.ended and ending(job):
        _print_recorded(session, session.archive.ref(job.name), None, session.options.tail, False)
        return 0
    follow(session, job)
    return 0


def follow(session: Session, job: Job) -> int:
    """Print a job's log until it ends; returns the exit code of its end."""
    follower = Follower(session.cluster, session.terminal)
    end = follower.wait(job, log=True)
    for attempt in follower.missed:
        try:
            ref = JobRef.of(job.namespace, job.project, job.name, job.uid)
            _print_recorded(session, ref, attempt, None, False)
        except (CommandError, RecordsError) as error:
            session.terminal.note(f"the log of attempt {attempt} was not seen: {shown(error)}")
    session.say_end(job, end)
    return end.exit_code


def last_lines(session: Session, job: Job, count: int) -> list[str]:
    """The end of a job's log as it stands; nothing where there is none yet."""
    if job.phase in (Phase.RUNNING, Phase.STOPPING) and session.cluster.has_pod(job):
        lines = session.cluster.log(job, TRAINER_CONTAINER, tail=count)
        return [shown_line(line) for line in lines]
    if not job.attempt or (job.attempt == 1 and job.phase is Phase.STARTING):
        return []
    ref = JobRef.of(job.namespace, job.project, job.name, job.uid)
    return [
        _shown(line) for line in _last(session.archive.records_of(job.namespace).log(ref), count)
    ]


# --- of the record ---------------------------------------------------------------------------


def _print_recorded(
    session: Session, ref: JobRef, attempt: int | None, tail: int | None, following: bool
) -> None:
    """All of it, or its last lines; a record that is followed, until it says how the job ended."""
    records, say = session.archive.records, session.terminal.say
    try:
        log = records.log(ref, attempt)
    except MissingError:
        raise CommandError(f"the record of {shown(ref.job)} has no attempt {attempt}") from None
    after = log.end
    if after == log.start and not following:
        session.terminal.note(f"The record of {shown(ref.job)} has no log.")
    if tail is None:
        after = _print_from(log, log.start, say)
    else:
        for line in _last(log, tail):
            say(_shown(line))
    while following and records.job(ref).facts.get("job.state") == "Unfinished":
        time.sleep(PAUSE)
        log = records.log(ref, attempt)
        after = _print_from(log, after, say)


def _print_from(log: Log, spot: Spot, say: Callable[[str], None]) -> Spot:
    """Lines from a place on; returns where to go on."""
    after = spot
    for line, after in log.onward(spot):  # noqa: B007 (the last one's is the answer)
        say(_shown(line))
    return after


def _last(log: Log, count: int) -> Iterator[Line]:
    """The last lines, read from behind."""
    found: deque[Line] = deque()
    spot = log.end
    while len(found) < count:
        page = log.backward(spot, min(_PAGE, count - len(found)))
        if not page.lines:
            break
        found.extendleft(reversed(page.lines))
        spot = page.before
    yield from found


def _shown(line: Line) -> str:
    rest = f" ... ({line.size} bytes, cut here)" if line.is_cut else ""
    return shown_line(line.text) + rest
