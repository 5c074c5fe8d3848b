"""GET /stream: server-sent events of what changed, one stream a tab."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from sihl_dashboard.server import asked
from sihl_dashboard.server.answers import encoded
from sihl_dashboard.server.hub import Hub, Listener, Topic
from sihl_dashboard.server.people import Person
from sihl_dashboard.server.refusals import (
    BadRequestError,
    NotThereError,
    RefusalError,
    UndecidedError,
    UnknownPersonError,
)
from sihl_dashboard.server.state import State, person_of, state_of

HEARTBEAT = 15.0
_HERE = ": here\nevent: here\ndata: {}\n\n"
"""A heartbeat: a comment, and an event for scripts, which are told of no comments."""
_GATHER = 0.1
"""Seconds in which changes are told together."""
_MOST = 200
_MOST_STREAMS = 2000
_RETRY = 3000
_WRITE = 30.0
"""Seconds after which a reader that takes nothing is gone."""


async def stream(request: web.Request) -> web.StreamResponse:
    """Tell what changes of what the query names, until the tab or the person's right is gone."""
    if request.method == "HEAD":  # headers of what never ends
        raise web.HTTPMethodNotAllowed("HEAD", ["GET"])
    state, person = state_of(request), person_of(request)
    topics = _topics(request)
    await _allow(state, person, topics)
    if state.hub.listeners >= _MOST_STREAMS:
        raise UndecidedError("the dashboard has too many listeners", "close some of its tabs")
    last = request.headers.get("Last-Event-ID") or request.query.get("last", "")
    listener = state.hub.listen(topics, last)
    state.meters.streams.inc()
    answer = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
    )
    try:
        await answer.prepare(request)
        await _write(answer, f"retry: {_RETRY}\n\n")
        await _tell(state, person, listener, answer)
    except ConnectionError:
        pass  # the tab is gone
    finally:
        state.meters.streams.dec()
        state.hub.leave(listener)
    return answer


def _topics(request: web.Request) -> set[Topic]:
    """What is listened to. Raises BadRequestError, NotThereError."""
    topics = {Topic("overview")} if request.query.get("overview") in ("1", "true") else set()
    for name, parts in (("projects", 2), ("jobs", 3)):
        for text in asked.listed(request, name):
            names = text.split("/")
            if len(names) != parts:
                raise BadRequestError(f"{name} names none", "give namespace/project, and /job")
            asked.ref(*(names if parts == 3 else [*names, "job.0"]))  # they can be names
            topics.add(Topic(name.removesuffix("s"), *names))
    if not topics:
        raise BadRequestError("nothing is listened to", "give overview=1, projects= or jobs=")
    if len(topics) > _MOST:
        raise BadRequestError(f"at most {_MOST} jobs and projects a stream", "name fewer")
    return topics


async def _allow(state: State, person: Person, topics: set[Topic] | frozenset[Topic]) -> None:
    """Raises NotThereError, UndecidedError."""
    for namespace in {topic.namespace for topic in topics if topic.namespace}:
        if not await state.access.may(person, namespace, "jobs"):
            raise NotThereError


async def _tell(
    state: State, person: Person, listener: Listener, answer: web.StreamResponse
) -> None:
    allowed = written = time.monotonic()
    while True:
        pause = min(HEARTBEAT, state.ask_again - (time.monotonic() - allowed))
        is_new = await listener.wait(max(pause, 0.0))
        if state.is_closing:
            return
        if time.monotonic() - allowed >= state.ask_again:
            try:
                if not await state.people.still(person):
                    raise UnknownPersonError("your login has ended")
                await _allow(state, person, listener.topics)
            except RefusalError as error:
                told = encoded({"code": error.code, "message": error.message}).decode()
                await _write(answer, f"event: end\ndata: {told}\n\n")
                return
            allowed = time.monotonic()
        if is_new:
            await asyncio.sleep(_GATHER)
            await _write(answer, _events(state.hub, listener))
            written = time.monotonic()
        elif time.monotonic() - written >= HEARTBEAT:
            await _write(answer, _HERE)
            written = time.monotonic()


def _events(hub: Hub, listener: Listener) -> str:
    due, listener.due = listener.due, set()
    told = sorted(
        ((*hub.event(topic), topic.kind) for topic in due),
        key=lambda event: int(event[0].rpartition("-")[2]),
    )
    return "".join(
        f"event: {kind}\nid: {number}\ndata: {encoded(document).decode()}\n\n"
        for number, document, kind in told
    )


async def _write(answer: web.StreamResponse, text: str) -> None:
    """Raises ConnectionResetError: nobody reads."""
    try:
        await asyncio.wait_for(answer.write(text.encode()), _WRITE)
    except TimeoutError:
        raise ConnectionResetError("the reader takes nothing") from None
