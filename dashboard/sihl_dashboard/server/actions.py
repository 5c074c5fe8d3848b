"""What a person does to jobs: with their own token against the API server, and nothing else."""

from __future__ import annotations

import logging
from typing import Any, Protocol

import yaml
from aiohttp import web

from sihl_api.logs import about
from sihl_api.manifest import Loader
from sihl_api.trainingjob import API_VERSION, KIND
from sihl_dashboard.records.errors import printable
from sihl_dashboard.server.answers import encoded
from sihl_dashboard.server.people import Person
from sihl_dashboard.server.refusals import BadRequestError
from sihl_dashboard.server.state import person_of, state_of

log = logging.getLogger("sihl.dashboard")

Document = dict[str, Any]
_LARGEST = 1 << 20


class Actor(Protocol):
    """Acts for a person, by the person's own rights."""

    def can_act(self, person: Person) -> bool:
        """Whether there is anything to act with."""

    async def create(self, person: Person, namespace: str, job: Document) -> Document:
        """Submit a job. Raises RefusalError."""

    async def patch(self, person: Person, namespace: str, name: str, change: Document) -> Document:
        """Change a job's spec. Raises RefusalError."""

    async def delete(self, person: Person, namespace: str, name: str) -> None:
        """Delete a job. Raises RefusalError."""


async def submit(request: web.Request) -> web.StreamResponse:
    """POST .../trainingjobs: a job, as YAML or JSON."""
    namespace = request.match_info["namespace"]
    job = _job(await request.read(), namespace)
    made = await _actor(request).create(person_of(request), namespace, job)
    _note(request, "submitted", str(job["metadata"].get("name", "")))
    return _done(made, 201)


async def change(request: web.Request) -> web.StreamResponse:
    """PATCH .../trainingjobs/{name} {suspend} or {priority}."""
    given = _read(await request.read())
    kinds = {"suspend": bool, "priority": int}
    if (
        not isinstance(given, dict)
        or not given
        or not all(name in kinds and type(value) is kinds[name] for name, value in given.items())
    ):
        raise BadRequestError(
            "only suspend and priority can be changed here", 'send {"suspend": true}, or a priority'
        )
    match = request.match_info
    made = await _actor(request).patch(
        person_of(request), match["namespace"], match["name"], {"spec": given}
    )
    _note(request, f"set {given} of", match["name"])
    return _done(made)


async def delete(request: web.Request) -> web.StreamResponse:
    """DELETE .../trainingjobs/{name}."""
    match = request.match_info
    await _actor(request).delete(person_of(request), match["namespace"], match["name"])
    _note(request, "deleted", match["name"])
    return _done({})


def _note(request: web.Request, what: str, name: str) -> None:
    """Who did it, for those who run the dashboard; a name is anybody's text."""
    who, namespace = person_of(request).name, request.match_info["namespace"]
    with about({"namespace": namespace, "name": name}):
        log.info("%s %s %s of %s", printable(who), what, printable(name), printable(namespace))


def _actor(request: web.Request) -> Actor:
    actor = state_of(request).actor
    assert actor is not None  # the guard has seen to it
    return actor


def _done(job: Document, status: int = 200) -> web.Response:
    metadata = job.get("metadata") or {}
    told = {name: metadata[name] for name in ("name", "namespace", "uid") if name in metadata}
    return web.Response(
        body=encoded(told), status=status, content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )  # fmt: skip


def _job(body: bytes, namespace: str) -> Document:
    """The one job of a body, for this namespace and no other. Raises BadRequestError."""
    job = _read(body)
    if not isinstance(job, dict) or (job.get("apiVersion"), job.get("kind")) != (API_VERSION, KIND):
        raise BadRequestError(
            "the text holds no job", f"begin it with apiVersion: {API_VERSION} and kind: {KIND}"
        )
    metadata = job.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("namespace", namespace) != namespace:
        raise BadRequestError(
            "the job's metadata names another namespace, or none is a mapping",
            f"leave metadata.namespace out, or make it {namespace}",
        )
    return {**job, "metadata": {**metadata, "namespace": namespace}}


def _read(body: bytes) -> Any:
    if len(body) > _LARGEST:
        raise BadRequestError("the job is larger than 1 MiB", "submit it by kubectl")
    try:
        return yaml.load(body, Loader=_Plain)  # noqa: S506 (a SafeLoader without aliases)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        problem = getattr(error, "problem", None)
        told = f": {printable(str(problem))}" if problem else ""
        raise BadRequestError(f"the text is not YAML{where}{told}", "correct it") from None


class _Plain(Loader):
    """Without aliases: a few of them make a text of gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not taken")
        return super().compose_node(parent, index)
