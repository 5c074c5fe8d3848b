"""GET /overview and /me: what there is that one may see, and who one is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from sihl_dashboard.server.answers import Answer, Key, answer_of, encoded, response
from sihl_dashboard.server.documents import Document
from sihl_dashboard.server.people import Person
from sihl_dashboard.server.refusals import NotThereError, RefusalError
from sihl_dashboard.server.state import State, person_of, state_of

_PROJECTS_AGE = 10.0
_MOST_JOBS = 2000


async def me(request: web.Request) -> web.StreamResponse:
    """GET /me: who asks, and whether they may act."""
    state, person = state_of(request), person_of(request)
    return web.json_response(
        {
            "user": person.name,
            "mode": person.mode,
            "cluster": state.cluster is not None,
            "canAct": state.actor is not None and state.actor.can_act(person),
            "csrf": person.csrf,
        }
    )


async def overview(request: web.Request) -> web.StreamResponse:
    """GET /overview: namespaces, projects and queues that one may see; GPUs by node."""
    state, person = state_of(request), person_of(request)
    troubles: list[Document] = []
    names = await _visible(state, person, await _names(state, troubles))

    async def make() -> Answer:
        return answer_of(encoded(await _document(state, names, troubles)), version=version)

    # Projects that only the store knows are looked for now and then.
    version = (
        f"{state.cluster.version} {time.monotonic() // _PROJECTS_AGE}" if state.cluster else None
    )
    return response(
        request,
        await state.answers.get(("overview", *names, repr(troubles)), version, make),
    )


async def _document(state: State, names: list[str], troubles: list[Document]) -> Document:
    """What those who may see just these namespaces are told."""
    told = list(troubles)
    projects = await asyncio.gather(*(_projects(state, name, told) for name in names))
    cluster = state.cluster
    if cluster is not None and cluster.trouble:
        told.append({"where": "cluster", "what": cluster.trouble})
    return {
        "namespaces": [
            {
                "name": name,
                "projects": sorted({*found, *(job.project for job in state.jobs_of(name))}),
                **_queues(state, name),
            }
            for name, found in zip(names, projects, strict=True)
        ],
        "nodes": cluster.nodes() if cluster is not None and names else [],
        "cluster": cluster is not None,
        "troubles": told,
    }


async def _names(state: State, troubles: list[Document]) -> list[str]:
    """All namespaces that may have anything, before anybody was asked whether they are seen."""
    found = {job.namespace for job in state.cluster.jobs()} if state.cluster else set()

    async def make() -> Answer:
        return answer_of(encoded(await state.namespaces()))

    known = await _known(state, ("namespaces",), make, 0, "store", troubles)
    return sorted(found | set(known))


async def _visible(state: State, person: Person, names: list[str]) -> list[str]:
    """Those of which one may see the jobs. Raises UndecidedError."""
    may = await asyncio.gather(*(state.access.may(person, name, "jobs") for name in names))
    return [name for name, is_seen in zip(names, may, strict=True) if is_seen]


async def _projects(state: State, namespace: str, troubles: list[Document]) -> list[str]:
    """Those that have records, as of the last ten seconds."""

    async def make() -> Answer:
        found = await state.read(namespace, lambda records: records.projects(namespace))
        return answer_of(encoded(found))

    try:
        return await _known(
            state, ("projects", namespace), make, _PROJECTS_AGE, namespace, troubles
        )
    except NotThereError:
        return []


async def _known(
    state: State,
    key: Key,
    make: Callable[[], Awaitable[Answer]],
    max_age: float,
    where: str,
    troubles: list[Document],
) -> list[str]:
    """Names that a store has; those that it had, while it cannot be read. Raises NotThereError."""
    answer: Answer | None
    try:
        answer = await state.answers.get(key, None, make, max_age)
    except NotThereError:
        raise
    except RefusalError as error:
        troubles.append({"where": where, "what": error.message})
        answer = state.answers.last(key)
    found: list[str] = orjson.loads(answer.body) if answer else []
    return found


def _queues(state: State, namespace: str) -> Document:
    """Each queue's holder first, then who waits in its order, then what has ended lately."""
    queues: dict[str, list[Document]] = {}
    total = 0
    if state.cluster is not None:
        for job in state.cluster.in_order(namespace):
            total += 1
            if total <= _MOST_JOBS:
                queues.setdefault(job.queue, []).append(job.document)
    return {
        "queues": [{"name": name, "jobs": jobs} for name, jobs in sorted(queues.items())],
        "total": total,
    }
