"""The jobs of a record, where no cluster is asked."""

from __future__ import annotations

import json

import yaml

from sihl_dashboard.cli.errors import NotFoundError, UsageError
from sihl_dashboard.cli.session import Session
from sihl_dashboard.cli.terminal import shown, table
from sihl_dashboard.records import Query
from sihl_dashboard.records.index import Row

COLUMNS = ("job.state", "job.reason", "job.step", "job.maxSteps", "job.createdAt")
_MOST = 100_000


def list_recorded(session: Session) -> int:
    """`list --record`: all jobs of a namespace, or of all, the oldest first."""
    options, records = session.options, session.archive.records
    if options.selector or options.phase:
        raise UsageError("a record knows neither labels nor phases: leave -l and --phase out")
    namespaces = records.namespaces() if options.all_namespaces else [session.namespace]
    rows: list[Row] = []
    for namespace in namespaces:
        for project in records.projects(namespace):
            query = Query(columns=COLUMNS, descending=False, limit=_MOST)
            found = records.jobs(namespace, project, query)
            session.tell(found.troubles)
            rows += [
                each
                for each in found.rows
                if not options.jobs or {each.ref.job, each.ref.folder} & set(options.jobs)
            ]
    _print(session, rows)
    named = {name for row in rows for name in (row.ref.job, row.ref.folder)}
    if missing := [name for name in options.jobs if name not in named]:
        raise NotFoundError(
            f"{shown(session.archive.place.name)} has no record of a job "
            f"{shown(', '.join(missing))}: without names all are listed"
        )
    return 0


def _print(session: Session, rows: list[Row]) -> None:
    terminal, form = session.terminal, session.options.output
    if form in ("json", "yaml"):
        told = [
            {"namespace": row.ref.namespace, "project": row.ref.project, "record": row.ref.folder,
             **row.values}
            for row in rows
        ]  # fmt: skip
        dumped = json.dumps(told, indent=2) if form == "json" else yaml.safe_dump(told)
        terminal.say(dumped.rstrip("\n"))
    elif form == "name":
        terminal.say(*(shown(row.ref.job) for row in rows))
    elif rows:
        terminal.say(*table(*as_table(rows, session.options.all_namespaces), terminal.colours))
    elif not session.options.jobs:
        terminal.note(f"No records found in {shown(session.archive.place.name)}.")


def as_table(rows: list[Row], namespaces: bool) -> tuple[list[str], list[list[object]]]:
    """Header and rows; the record says how a job ended, and never whether it runs."""
    header = ["NAME", "PROJECT", "STATE", "REASON", "STEP", "SUBMITTED", "RECORD"]
    lines: list[list[object]] = []
    for row in rows:
        state, reason, step, most, created = (row.values[column] for column in COLUMNS)
        steps = f"{step}/{most}" if step is not None else ""
        line: list[object] = [
            row.ref.job, row.ref.project, state, reason, steps, created, row.ref.folder,
        ]  # fmt: skip
        lines.append([row.ref.namespace, *line] if namespaces else line)
    return ["NAMESPACE", *header] if namespaces else header, lines
