"""Routes of one job: its record, its pictures, and the job that could follow it."""

from __future__ import annotations

from typing import Any

import yaml
from aiohttp import web

from sihl_api.record import MANIFEST, PICTURE_SUFFIX
from sihl_dashboard.cli.assignments import parse
from sihl_dashboard.cli.errors import CommandError
from sihl_dashboard.cli.manifests import clone, next_name
from sihl_dashboard.records import JobRef, Model, Picture, Records, Trouble, why_none
from sihl_dashboard.records.facts import STATES
from sihl_dashboard.server import asked
from sihl_dashboard.server.answers import Answer, answer_of, response
from sihl_dashboard.server.documents import (
    Document,
    job_document,
    picture_document,
    troubles_of,
)
from sihl_dashboard.server.given import given_of
from sihl_dashboard.server.project import question, safe_name
from sihl_dashboard.server.refusals import BadRequestError, NotThereError
from sihl_dashboard.server.state import state_of

_MAX_AGE = 1.0
_MOST_CHANGES = 100
_KINDS = {PICTURE_SUFFIX: "image/png", ".json": "application/json"}
"""What the dashboard shows of a validation: an image that runs nothing, and data."""


async def job(request: web.Request) -> web.StreamResponse:
    """GET .../jobs/{job}: its record, and what the cluster says of it now."""
    ref = asked.ref_of(request)
    state = state_of(request)
    live = state.live_of(ref)

    version = state.hub.of_jobs([ref])
    age = state.hub.age([ref]) if version else _MAX_AGE  # what was read since the change has it

    def work(records: Records) -> Document:
        found = records.job(ref, max_age=age)
        phase = live.document["phase"] if live else None
        standing = phase if phase in STATES else str(found.facts.get("job.state"))
        kept = records.model(ref) if standing == "Succeeded" else None
        model = None if isinstance(kept, Trouble) else kept
        document = job_document(found, model) | {"lacksModel": _lacks(kept, standing)}
        document["troubles"] += troubles_of([kept] if isinstance(kept, Trouble) else [])
        return document | {"live": live.document if live else None,
                           "conditions": live.conditions if live else []}  # fmt: skip

    try:
        if version and live:
            version = f"{version} {live.version}"
        answer = await state.answered(question(request), ref.namespace, work, version)
    except NotThereError:
        if live is None:
            raise
        return web.json_response(_waiting(ref, live.document, live.conditions, live.spec))
    return response(request, answer)


def _lacks(model: Model | Trouble | None, standing: str) -> str | None:
    """Why there is no model, where there is none."""
    if isinstance(model, Trouble):
        return f"its {MANIFEST} {model.what}"
    return None if model else why_none(standing)


def _waiting(ref: JobRef, live: Document, conditions: list[Document], spec: Document) -> Document:
    """A job that has no record yet: it waits, and the cluster alone knows it."""
    return {
        "job": ref.folder, "name": ref.job, "namespace": ref.namespace, "project": ref.project,
        "state": "Unfinished", "document": None, "spec": spec,
        "given": given_of(spec), "summary": None, "attempts": [],
        "isFinal": False, "model": None, "lacksModel": why_none("Unfinished"), "troubles": [],
        "live": live, "conditions": conditions,
    }  # fmt: skip


async def pictures(request: web.Request) -> web.StreamResponse:
    """GET .../pictures: those of its validations that still count."""
    ref = asked.ref_of(request)
    state = state_of(request)

    def work(records: Records) -> Document:
        records.job(ref, max_age=_MAX_AGE)
        return {"pictures": [picture_document(each) for each in records.pictures(ref)]}

    version = state.hub.of_jobs([ref])
    return response(request, await state.answered(question(request), ref.namespace, work, version))


async def picture(request: web.Request) -> web.StreamResponse:
    """GET .../pictures/{step}/{head}/{attempt}/{file}: the bytes of one."""
    ref = asked.ref_of(request)
    path = request.match_info
    file = path["file"]
    kind = next((kind for ending, kind in _KINDS.items() if file.endswith(ending)), None)
    if kind is None:
        raise NotThereError("the dashboard shows PNG files and JSON only")
    wanted = Picture(_count(path["step"]), path["head"], file, _count(path["attempt"]), 0)
    state = state_of(request)

    async def make() -> Answer:
        return await state.read(
            ref.namespace, lambda records: answer_of(records.picture(ref, wanted), kind)
        )

    # What is written once never changes.
    answer = await state.answers.get(question(request), "once", make)
    found = response(request, answer)
    found.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return found


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 12):
        raise NotThereError
    return int(text)


async def next_job(request: web.Request) -> web.StreamResponse:
    """GET .../manifest.yaml: the YAML of a job like it, with fields changed by `set`."""
    ref = asked.ref_of(request)
    changes = request.query.getall("set", [])
    if len(changes) > _MOST_CHANGES:
        raise BadRequestError(f"at most {_MOST_CHANGES} changes at a time")
    state = state_of(request)
    live = state.live_of(ref)
    spec = live.spec if live else await state.read(ref.namespace, lambda r: _spec(r, ref))
    taken = {each.name for each in state.jobs_of(ref.namespace)}
    name = request.query.get("name") or next_name(ref.job, taken)
    queue = {"annotations": dict(live.annotations)} if live and live.annotations else {}
    try:
        made = clone(
            {"metadata": queue, "spec": _without_nulls(spec)},
            [parse(each) for each in changes],
            name,
        )
    except CommandError as error:
        raise BadRequestError(str(error).removeprefix("--set "), "correct the change") from None
    made["metadata"]["namespace"] = ref.namespace
    text = yaml.safe_dump(made, sort_keys=False, allow_unicode=True)
    return web.Response(
        body=text.encode(errors="replace"),
        headers={
            "Content-Type": "application/yaml; charset=utf-8",
            "Content-Disposition": f'inline; filename="{safe_name(name)}.yaml"',
        },
    )


def _spec(records: Records, ref: JobRef) -> Document:
    found = records.job(ref, max_age=_MAX_AGE).document.spec
    if not found:
        raise NotThereError("the record does not tell what ran")
    return found


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    return value
