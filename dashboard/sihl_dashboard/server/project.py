"""Routes of a project: its jobs as a table, curves of them, what differs, what to export."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import orjson
from aiohttp import web

from sihl_dashboard.records import JobRef, Jobs, MissingError, Query, Records, View
from sihl_dashboard.records.facts import Fact
from sihl_dashboard.server import asked
from sihl_dashboard.server.ahead import first_curves
from sihl_dashboard.server.answers import Answer, Key, response
from sihl_dashboard.server.documents import (
    Document,
    curves_document,
    differences_document,
    jobs_document,
    same_image_document,
    troubles_of,
)
from sihl_dashboard.server.refusals import BadRequestError, NotThereError
from sihl_dashboard.server.state import State, state_of, told

_PATIENCE = 0.5
"""Seconds: then those are shown that have been read, and the others as they come."""
_EXPORT_PATIENCE = 120.0
_MAX_AGE = 5.0
_MOST_EXPORTED = 100_000
_WHICH = ("best", "last", "min", "max")


def question(request: web.Request) -> Key:
    """What makes two requests the same: the path and the query, in whatever order."""
    return _question(request.path, request.query.items())


def _question(path: str, query: Iterable[tuple[str, str]]) -> Key:
    return (path, *(f"{name}={value}" for name, value in sorted(query)))


async def jobs(request: web.Request) -> web.StreamResponse:
    """GET .../jobs: rows, in the order and with the columns that are wanted."""
    namespace, project = asked.namespace_of(request), asked.project_of(request)
    with told():
        query = asked.query_of(request)
    state = state_of(request)
    live = state.project_of(namespace, project)

    def work(records: Records) -> Document:
        found = jobs_document(_listed(records, namespace, project, query, is_known=bool(live)))
        for row in found["rows"]:
            row["phase"] = live[row["job"]].document["phase"] if row["job"] in live else None
        return found | {"waiting": [job.document for job in live.values() if not job.has_record]}

    version = state.hub.of_project(namespace, project)
    return response(request, await state.answered(question(request), namespace, work, version))


def _listed(
    records: Records,
    namespace: str,
    project: str,
    query: Query,
    is_known: bool = False,
    patience: float = _PATIENCE,
) -> Jobs:
    """Raises NotThereError: nobody has heard of such a project."""
    found = records.jobs(namespace, project, query, _MAX_AGE, patience)
    is_known = is_known or bool(
        found.total or found.columns or found.troubles or found.look.is_under_way
    )
    if not is_known and not query.conditions and project not in records.projects(namespace):
        raise NotThereError
    return found


async def curves(request: web.Request) -> web.StreamResponse:
    """GET .../curves: of any jobs, on one grid."""
    refs = asked.refs_of(request)
    with told():
        view = asked.view_of(request)
    return response(request, await _curves(state_of(request), question(request), refs, view))


async def _curves(state: State, key: Key, refs: list[JobRef], view: View) -> Answer:
    version = state.hub.of_jobs(refs)
    age = state.hub.age(refs) if version else 1.0  # what was read since the change has it

    def work(records: Records) -> Document:
        return curves_document(records.curves(refs, view, age), view.axis)

    return await state.answered(key, refs[0].namespace, work, version, refs=refs)


async def metrics(request: web.Request) -> web.StreamResponse:
    """GET .../metrics: the names that any of the jobs has, and which way is better."""
    refs, state = asked.refs_of(request), state_of(request)
    is_new = state.answers.last(question(request)) is None
    answer = await _of_jobs(request, refs, lambda records: _metrics(records, refs))
    if is_new:
        state.ahead(_drawn_next(request, refs, orjson.loads(answer.body)))
    return response(request, answer)


async def _drawn_next(request: web.Request, refs: list[JobRef], names: Document) -> None:
    """Who learns of metrics asks for curves as soon as there is something to draw them."""
    state = state_of(request)
    await state.read(refs[0].namespace, lambda records: records.read_ahead(refs))
    query = first_curves(request.query["jobs"], names)
    if query:
        key = _question(f"{request.path.removesuffix('/metrics')}/curves", query.items())
        await _curves(state, key, refs, View(metrics=[query["metrics"]]))


def _metrics(records: Records, refs: list[JobRef]) -> Document:
    names: dict[str, set[str]] = {"train": set(), "validation": set()}
    better: dict[str, str | None] = {}
    unknown: list[JobRef] = []
    for ref in refs:
        try:
            job = records.job(ref, max_age=_MAX_AGE)
        except MissingError:
            continue
        if not (job.is_summarised and job.summary.train):
            unknown.append(ref)
        for kind in names:
            for name, metric in getattr(job.summary, kind).items():
                names[kind].add(name)
                full = f"{kind}/{name}"
                better[full] = better.get(full) or metric.better
    troubles: list[Document] = []
    if unknown:  # no summary yet: what the lines have
        lines = records.curves(unknown, View(buckets=1, ghosts=False))
        troubles = troubles_of(lines.troubles)
        for curve in lines.curves:
            kind, _, name = curve.metric.partition("/")
            names[kind].add(name)
            better.setdefault(curve.metric, None)
    named = {kind: sorted(found) for kind, found in names.items()}
    return {**named, "better": better, "troubles": troubles}


async def differences(request: web.Request) -> web.StreamResponse:
    """GET .../differences: only what differs, and what came of it."""
    refs = asked.refs_of(request)
    which = asked.choice(request, "which", _WHICH)
    named = request.query.get("baseline")
    baseline = asked.ref(refs[0].namespace, refs[0].project, named) if named else None
    if baseline is not None and baseline not in refs:
        raise BadRequestError("baseline is none of the jobs", "name it in jobs too")
    metrics = asked.listed(request, "metrics") or None
    answer = await _of_jobs(
        request,
        refs,
        lambda records: differences_document(records.differences(refs, baseline, metrics, which)),
    )
    return response(request, answer)


async def same_images(request: web.Request) -> web.StreamResponse:
    """GET .../same-images: the validation images that several jobs drew."""
    refs = asked.refs_of(request)
    step = asked.number(request, "step", int)

    def work(records: Records) -> Document:
        found = []
        for ref in refs:
            try:
                records.job(ref, max_age=_MAX_AGE)
            except MissingError:
                continue
            found.append(ref)
        return {"images": [same_image_document(i) for i in records.same_images(found, step)]}

    return response(request, await _of_jobs(request, refs, work, max_age=_MAX_AGE))


async def _of_jobs(
    request: web.Request, refs: list[JobRef], work: Any, max_age: float = 1.0
) -> Answer:
    state = state_of(request)
    version = state.hub.of_jobs(refs)
    return await state.answered(question(request), refs[0].namespace, work, version, max_age, refs)


# --- exports ---------------------------------------------------------------------------------


async def export_csv(request: web.Request) -> web.StreamResponse:
    """GET .../export.csv: a line for each job, for a spreadsheet."""
    found = await _exported(request)
    columns = list(found.rows[0].values) if found.rows else []

    def written() -> bytes:
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(["job", *map(_cell, columns)])
        for row in found.rows:
            writer.writerow([_cell(row.ref.folder), *map(_cell, row.values.values())])
        return out.getvalue().encode(errors="replace")

    return _file(await state_of(request).run(written), "text/csv; charset=utf-8", "csv", request)


async def export_json(request: web.Request) -> web.StreamResponse:
    """GET .../export.json: the same as objects."""
    found = await _exported(request)
    document = {
        "namespace": asked.namespace_of(request),
        "project": asked.project_of(request),
        "jobs": [{"job": row.ref.folder, **row.values} for row in found.rows],
        "troubles": troubles_of(found.troubles),
    }
    body = await state_of(request).run(lambda: orjson.dumps(document, option=orjson.OPT_INDENT_2))
    return _file(body, "application/json", "json", request)


async def _exported(request: web.Request) -> Jobs:
    namespace, project = asked.namespace_of(request), asked.project_of(request)
    with told():
        query = asked.query_of(request, _MOST_EXPORTED)
    is_all = "columns" not in request.query

    def listed(records: Records, query: Query) -> Jobs:
        return _listed(records, namespace, project, query, patience=_EXPORT_PATIENCE)

    def work(records: Records) -> Jobs:
        if not is_all:
            return listed(records, query)
        columns = listed(records, Query(limit=0)).columns
        differing = [path for path, differs in columns.items() if differs][:100]
        return listed(records, replace(query, columns=tuple(differing) or query.columns))

    return await state_of(request).read(namespace, work)


def _cell(value: Fact) -> Fact:
    """A text that a spreadsheet would run is marked as text: names are anybody's."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value


def _file(body: bytes, kind: str, ending: str, request: web.Request) -> web.Response:
    name = f"{safe_name(asked.project_of(request))}.{ending}"
    return web.Response(
        body=body,
        headers={"Content-Type": kind, "Content-Disposition": f'attachment; filename="{name}"'},
    )


def safe_name(name: str) -> str:
    """A file's name that no header and no shell stumbles over."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-._") else "_" for c in name)
