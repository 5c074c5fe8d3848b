"""What the hub asks of each topic: versions of a record's parts, a project, the overview."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from sihl_dashboard.records import MissingError, Pulse, Query, Records
from sihl_dashboard.server.hub import Topic

if TYPE_CHECKING:
    from sihl_dashboard.server.state import State

Document = dict[str, Any]

_OVERVIEW, _FOLDERS, _PROJECT, _JOB = 2.0, 10.0, 10.0, 10.0
"""Seconds for which what does not change is left alone."""
_RESTS: dict[object, float] = {"Succeeded": 600.0, "Failed": 30.0, "Stopped": 30.0}
"""Of jobs that have ended; the cluster tells when one goes on."""
_PATIENCE = 2.0
_SUMMARY_AGE = 30.0


async def ask(state: State, topic: Topic, known: Document) -> tuple[Document, float]:
    """What a topic's listeners are told, and for how long it may rest. Raises RefusalError."""
    match topic.kind:
        case "overview":
            if state.cluster is not None:
                return {"version": state.cluster.version}, _OVERVIEW
            names = await state.run(lambda: _folders(state))
            return {"version": blake2b(repr(names).encode(), digest_size=8).hexdigest()}, _FOLDERS
        case "project":
            found = await state.read(topic.namespace, lambda r: _project(r, topic))
            live = state.project_of(topic.namespace, topic.project)
            phases = sorted((folder, each.document["phase"]) for folder, each in live.items())
            digest = blake2b(repr(phases).encode(), digest_size=4).hexdigest()
            return {"version": f"{found}-{digest}"}, _PROJECT
    before = Pulse(known.get("metrics", ""), known.get("log", ""), known.get("summary", ""))
    told, became = await state.read(topic.namespace, lambda r: _job(r, topic, before))
    job = state.live_of(topic.ref)
    document = {"metrics": told.metrics, "log": told.log, "summary": told.summary,
                "live": job.version if job else None}  # fmt: skip
    return document, _RESTS.get(became, _JOB)


def _folders(state: State) -> list[tuple[str, list[str]]]:
    """Namespaces and projects that have records."""
    from sihl_dashboard.server.state import told

    with told():
        return [(name, state.stores.of(name).projects(name)) for name in state.stores.namespaces()]


def _project(records: Records, topic: Topic) -> str:
    found = records.jobs(topic.namespace, topic.project, Query(limit=0), 0.0, _PATIENCE)
    look = found.look
    version = records.version(topic.namespace, topic.project)
    told = "".join(each.what for each in look.troubles)
    if look.is_under_way:
        version += f"-{look.looked}"
    return f"{version}-{blake2b(told.encode(), digest_size=4).hexdigest()}"


def _job(records: Records, topic: Topic, known: Pulse) -> tuple[Pulse, object]:
    """How far it has come, and what became of it."""
    told = records.pulse(topic.ref, known)
    try:
        return told, records.job(topic.ref, max_age=_SUMMARY_AGE).facts.get("job.state")
    except MissingError:
        return told, None
