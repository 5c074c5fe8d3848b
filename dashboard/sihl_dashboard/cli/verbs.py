"""What each verb does: asks, and prints what the functions of values make of the answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sihl_api.oddities import oddities
from sihl_api.trainingjob import GROUP, Phase, TrainingJobSpec
from sihl_dashboard.cli import comparing, manifests, measures
from sihl_dashboard.cli.assignments import parse
from sihl_dashboard.cli.checking import check
from sihl_dashboard.cli.endings import STOPPED, ending
from sihl_dashboard.cli.errors import CommandError, NotFoundError, UsageError
from sihl_dashboard.cli.following import Follower
from sihl_dashboard.cli.jobs import Job, in_queues, listed, queued
from sihl_dashboard.cli.logs import follow, print_log
from sihl_dashboard.cli.plot import Canvas
from sihl_dashboard.cli.pulling import pull
from sihl_dashboard.cli.recorded import list_recorded
from sihl_dashboard.cli.session import Session
from sihl_dashboard.cli.terminal import shown, table
from sihl_dashboard.records import JobRef, MissingError

_RESOURCE = f"trainingjob.{GROUP}"
_MOMENT = 60.0
_TAKEN_UP_SECONDS = 30.0
"""Within which an operator that runs has seen what a user changed."""


# --- looking ---------------------------------------------------------------------------------


def _list(session: Session) -> int:
    options = session.options
    phases = _phases(options.phase or ())
    if session.record:
        return list_recorded(session)
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


def _queue(session: Session) -> int:
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


def _top(session: Session) -> int:
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
        terminal.say(_document(form, {
            "apiVersion": "v1", "kind": "List", "items": [dict(job.raw) for job in jobs]
        }))  # fmt: skip
    elif form == "name":
        terminal.say(*(f"{_RESOURCE}/{shown(job.name)}" for job in jobs))
    elif jobs:
        terminal.say(*table(*rows(), colours=terminal.colours))
    else:
        where = "any namespace" if session.options.all_namespaces else session.namespace
        terminal.note(f"No training jobs found in {shown(where)}.")


def _document(form: str, value: Mapping[str, Any]) -> str:
    if form == "json":
        return json.dumps(value, indent=2)  # in ASCII: nothing in it moves a cursor
    return yaml.safe_dump(value, sort_keys=False).rstrip("\n")


# --- steering --------------------------------------------------------------------------------


def _submit(session: Session) -> int:
    options = session.options
    job = manifests.read(options.filename, session.stdin)
    job = manifests.changed(job, [parse(text) for text in options.set], options.name)
    named = job["metadata"].get("namespace")
    if named and options.namespace and named != options.namespace:
        raise UsageError(
            f"the job's metadata.namespace is {shown(named)}, and -n {shown(options.namespace)}: "
            "leave one of them out"
        )
    options.namespace = named or options.namespace
    return _send(session, job)


def _clone(session: Session) -> int:
    options = session.options
    assignments = [parse(text) for text in options.set]
    job = _earlier(session, options.job)
    name = options.name
    if not name:
        earlier = session.ref(options.job).job if session.record else options.job
        taken = {each.name for each in session.cluster.jobs(session.namespace)}
        name = manifests.next_name(earlier, taken | {earlier})
    return _send(session, manifests.clone(job, assignments, name))


def _earlier(session: Session, name: str) -> Mapping[str, Any]:
    """A job as it stands in the cluster or, if it was deleted, in its record."""
    if not session.record:
        with suppress(NotFoundError):
            return session.cluster.job(session.namespace, name).raw
    document = session.recorded(session.ref(name)).document
    if not document.is_typed:
        raise CommandError(f"the record of {shown(name)} has no spec that this release reads")
    return {"metadata": {}, "spec": _without_null(document.spec)}


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_null(each) for key, each in value.items() if each is not None}
    return [_without_null(each) for each in value] if isinstance(value, list) else value


def _send(session: Session, job: Mapping[str, Any]) -> int:
    if session.options.dry_run:
        session.terminal.say(_document("yaml", job))
        return 0
    created = session.cluster.create(session.namespace, job)
    session.terminal.note(f"{_RESOURCE}/{created.name} created")
    with suppress(ValidationError):  # a newer release's CRD takes what this one does not know
        for each in oddities(TrainingJobSpec.model_validate(job["spec"]), job["metadata"]):
            session.terminal.note(f"warning: {each}")
    return _stay(session, created)


def _stay(session: Session, job: Job) -> int:
    """As --follow and --wait say."""
    if session.options.follow:
        return follow(session, job)
    if not session.options.wait:
        return 0
    end = Follower(session.cluster, session.terminal).wait(job)
    session.say_end(job, end)
    return end.exit_code


def _stop(session: Session) -> int:
    asked = []
    for name in session.options.jobs:
        job = session.cluster.job(session.namespace, name)
        if job.phase.ended and ending(job):
            session.terminal.note(f"{name} has ended already: {job.phase}")
            continue
        asked.append(session.cluster.suspend(session.namespace, name, True))
        session.terminal.note(f"{_RESOURCE}/{name} asked to stop")
    code = 0
    for job in asked if session.options.wait else ():
        end = Follower(session.cluster, session.terminal).wait(job)
        session.say_end(job, end)
        code = code or (0 if end.exit_code == STOPPED else end.exit_code)
    return code


def _resume(session: Session) -> int:
    names = session.options.jobs
    if len(names) > 1 and (session.options.follow or session.options.wait):
        raise UsageError("--wait and --follow stay with one job: name one")
    for name in names:
        job = session.cluster.job(session.namespace, name)
        if job.phase is Phase.FAILED and job.status.checkpoint is not None:
            job = _stopped(session, name)
        if job.phase in (Phase.SUCCEEDED, Phase.FAILED):
            raise CommandError(
                f"{name} has ended ({job.phase}), and only stopped jobs, and failed ones that have "
                f"a checkpoint, go on: submit another by {session.command('clone', job)}"
            )
        if not job.suspended:
            session.terminal.note(f"{name} is not stopped: {job.phase}")
            continue
        job = session.cluster.suspend(session.namespace, name, False)
        session.terminal.note(f"{_RESOURCE}/{name} resumed")
        if len(names) == 1:
            return _stay(session, job)
    return 0


def _stopped(session: Session, name: str) -> Job:
    """A failed job that has a checkpoint, once the operator has taken it for a stopped one."""
    session.cluster.suspend(session.namespace, name, True)
    deadline = time.monotonic() + _TAKEN_UP_SECONDS
    while time.monotonic() < deadline:
        job = session.cluster.job(session.namespace, name)
        if job.phase is not Phase.FAILED:
            return job
        time.sleep(0.2)
    raise CommandError(
        f"{name} has failed, and the operator has not taken it up again within "
        f"{_TAKEN_UP_SECONDS:.0f} s: is it running?"
    )


# --- records ---------------------------------------------------------------------------------


def _logs(session: Session) -> int:
    return print_log(session, session.options.job)


def _metrics(session: Session) -> int:
    options, records = session.options, session.records
    ref = session.ref(options.job)
    job = session.recorded(ref)
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
    terminal.say(*measures.plotted(session.records, ref, names, canvas))
    if left := len(metrics) - len(names):
        terminal.note(f"{left} more metrics: choose by --metric, as kubectl sihl metrics has them")
    return 0


def _compare(session: Session) -> int:
    options = session.options
    if len(options.jobs) < 2:
        raise UsageError("compare takes two jobs or more")
    named = list(dict.fromkeys(session.ref(name) for name in options.jobs))
    if len(named) < 2:
        raise UsageError("these are one job: name another")
    refs = _begun(session, named)
    found = session.records.differences(refs, baseline=refs[0])
    session.tell(found.troubles)
    if options.output:
        session.terminal.say(_document(options.output, comparing.document(refs, found)))
        return 0
    facts = None
    if not options.diff_only:
        facts = {}
        for ref in refs:
            with suppress(MissingError):  # told already
                facts[ref] = session.records.job(ref, max_age=_MOMENT).facts
    session.terminal.say(*comparing.told(refs, found, facts))
    for ref in found.unknown_data:
        session.terminal.note(f"note: the record of {shown(ref.job)} does not tell its data")
    return 0


def _begun(session: Session, refs: Sequence[JobRef]) -> list[JobRef]:
    """Those that have a record. Raises CommandError: that are fewer than two."""
    found = []
    for ref in refs:
        try:
            session.records.job(ref)
        except MissingError:
            session.terminal.note(
                f"note: {shown(ref.job)} is left out: a job has a record once it has started"
            )
        else:
            found.append(ref)
    if len(found) < 2:
        raise CommandError("fewer than two of these jobs have a record to compare")
    return found


def _pull(session: Session) -> int:
    ref = session.ref(session.options.job)
    folder = Path(session.options.to or ref.job)
    manifest = pull(session.place, ref, folder, session.terminal.progress)
    session.terminal.note(
        f"the model of step {manifest.step}, {len(manifest.files)} files with their checksums held:"
    )
    session.terminal.say(shown(folder))
    return 0


def _ui(session: Session) -> int:
    from sihl_dashboard.cli.ui import ui  # the server takes half a second to import

    return ui(session)


ACTIONS: dict[str, Callable[[Session], int]] = {
    "list": _list,
    "queue": _queue,
    "top": _top,
    "submit": _submit,
    "check": check,
    "stop": _stop,
    "resume": _resume,
    "logs": _logs,
    "clone": _clone,
    "metrics": _metrics,
    "compare": _compare,
    "pull": _pull,
    "ui": _ui,
}
