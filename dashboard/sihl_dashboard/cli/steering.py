"""Verbs that submit jobs, end them and go on with them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from sihl_api.oddities import oddities
from sihl_api.status import Phase
from sihl_api.trainingjob import TrainingJobSpec
from sihl_dashboard.cli import manifests
from sihl_dashboard.cli.assignments import parse
from sihl_dashboard.cli.endings import STOPPED, ending
from sihl_dashboard.cli.errors import CommandError, NotFoundError, UsageError
from sihl_dashboard.cli.following import Follower
from sihl_dashboard.cli.jobs import RESOURCE, Job
from sihl_dashboard.cli.logs import follow
from sihl_dashboard.cli.session import Session
from sihl_dashboard.cli.terminal import document, shown

_TAKEN_UP_SECONDS = 30.0
"""Within which an operator that runs has seen what a user changed."""


def submit(session: Session) -> int:
    """`submit`: a job of a file."""
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


def clone(session: Session) -> int:
    """`clone`: a job like another."""
    options = session.options
    assignments = [parse(text) for text in options.set]
    job = _original(session, options.job)
    name = options.name
    if not name:
        earlier = session.archive.ref(options.job).job if session.record else options.job
        taken = {each.name for each in session.cluster.jobs(session.namespace)}
        name = manifests.next_name(earlier, taken | {earlier})
    return _send(session, manifests.clone(job, assignments, name))


def _original(session: Session, name: str) -> Mapping[str, Any]:
    """A job as it stands in the cluster or, if it was deleted, in its record."""
    if not session.record:
        with suppress(NotFoundError):
            return session.cluster.job(session.namespace, name).raw
    document = session.archive.recorded(session.archive.ref(name)).document
    if not document.is_typed:
        raise CommandError(f"the record of {shown(name)} has no spec that this release reads")
    return {"metadata": {}, "spec": _without_null(document.spec)}


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_null(each) for key, each in value.items() if each is not None}
    return [_without_null(each) for each in value] if isinstance(value, list) else value


def _send(session: Session, job: Mapping[str, Any]) -> int:
    if session.options.dry_run:
        session.terminal.say(document("yaml", job))
        return 0
    created = session.cluster.create(session.namespace, job)
    session.terminal.note(f"{RESOURCE}/{created.name} created")
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


def stop(session: Session) -> int:
    """`stop`: jobs, each with a checkpoint."""
    asked = []
    for name in session.options.jobs:
        job = session.cluster.job(session.namespace, name)
        if job.phase.ended and ending(job):
            session.terminal.note(f"{name} has ended already: {job.phase}")
            continue
        asked.append(session.cluster.suspend(session.namespace, name, True))
        session.terminal.note(f"{RESOURCE}/{name} asked to stop")
    code = 0
    for job in asked if session.options.wait else ():
        end = Follower(session.cluster, session.terminal).wait(job)
        session.say_end(job, end)
        code = code or (0 if end.exit_code == STOPPED else end.exit_code)
    return code


def resume(session: Session) -> int:
    """`resume`: stopped jobs."""
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
        session.terminal.note(f"{RESOURCE}/{name} resumed")
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
