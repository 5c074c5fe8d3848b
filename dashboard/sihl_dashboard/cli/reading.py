"""Verbs that read what is recorded of jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sihl_dashboard.cli import comparing, measures, pulling
from sihl_dashboard.cli.errors import CommandError, UsageError
from sihl_dashboard.cli.plot import Canvas
from sihl_dashboard.cli.session import Session
from sihl_dashboard.cli.terminal import document, shown
from sihl_dashboard.records import JobRef, MissingError, why_none

_MOMENT = 60.0


def metrics(session: Session) -> int:
    """`metrics`: what a job measured."""
    options, records = session.options, session.archive.records
    ref = session.archive.ref(options.job)
    job = session.archive.recorded(ref)
    session.tell(job.troubles)
    wanted = options.metric or None
    metrics = {
        name: told
        for name, told in measures.summary(records, job).items()
        if wanted is None or name in wanted
    }
    if missing := [name for name in wanted or () if name not in metrics]:
        raise CommandError(
            f"{ref.job} has no metric {shown(', '.join(missing))}: without --metric all are shown"
        )
    if options.plot and options.around:
        raise UsageError("--around tells of points, and --plot draws the whole curve: choose one")
    if not (options.csv or options.json):
        if not metrics:
            session.tell(measures.points(records, ref, wanted)[1])
            session.terminal.note(f"{ref.job} has measured nothing yet.")
            return 0
        if options.plot:
            return _plot(session, ref, metrics)
        if not options.around:
            session.terminal.say(*measures.summary_table(metrics))
            return 0
    found, troubles = measures.points(records, ref, wanted)
    session.tell(troubles)
    if options.around:
        found = measures.around(found, options.around)
    if not (options.csv or options.json):
        session.terminal.say(*measures.around_table(found, options.around))
    elif options.csv:
        session.terminal.say(measures.as_csv(found))
    else:
        session.terminal.say(measures.as_json(job, metrics, found))
    return 0


def _plot(session: Session, ref: JobRef, metrics: Mapping[str, Mapping[str, Any]]) -> int:
    terminal, wanted = session.terminal, session.options.metric
    names = list(metrics) if wanted else measures.to_plot(metrics)
    canvas = Canvas(terminal.width, braille=terminal.can_show("\u28ff"))
    terminal.say(*measures.plotted(session.archive.records, ref, names, canvas))
    if left := len(metrics) - len(names):
        terminal.note(f"{left} more metrics: choose by --metric, as kubectl sihl metrics has them")
    return 0


def compare(session: Session) -> int:
    """`compare`: what differs between jobs, and what came of it."""
    options = session.options
    if len(options.jobs) < 2:
        raise UsageError("compare takes two jobs or more")
    named = list(dict.fromkeys(session.archive.ref(name) for name in options.jobs))
    if len(named) < 2:
        raise UsageError("these are one job: name another")
    refs = _begun(session, named)
    found = session.archive.records.differences(refs, baseline=refs[0])
    session.tell(found.troubles)
    if options.output:
        session.terminal.say(document(options.output, comparing.document(refs, found)))
        return 0
    facts = None
    if not options.diff_only:
        facts = {}
        for ref in refs:
            with suppress(MissingError):  # told already
                facts[ref] = session.archive.records.job(ref, max_age=_MOMENT).facts
    session.terminal.say(*comparing.told(refs, found, facts))
    for ref in found.unknown_data:
        session.terminal.note(f"note: the record of {shown(ref.job)} does not tell its data")
    return 0


def _begun(session: Session, refs: Sequence[JobRef]) -> list[JobRef]:
    """Those that have a record. Raises CommandError: that are fewer than two."""
    found = []
    for ref in refs:
        try:
            session.archive.records.job(ref)
        except MissingError:
            session.terminal.note(
                f"note: {shown(ref.job)} is left out: a job has a record once it has started"
            )
        else:
            found.append(ref)
    if len(found) < 2:
        raise CommandError("fewer than two of these jobs have a record to compare")
    return found


def pull(session: Session) -> int:
    """`pull`: a job's model."""
    ref = session.archive.ref(session.options.job)
    folder = Path(session.options.to or ref.job)

    def lacks() -> str:
        return why_none(str(session.archive.recorded(ref).facts.get("job.state")))

    manifest = pulling.pull(session.archive.place, ref, folder, session.terminal.progress, lacks)
    session.terminal.note(
        f"the model of step {manifest.step}, {len(manifest.files)} files with their checksums held:"
    )
    session.terminal.say(shown(folder))
    return 0
