"""What every request passes: the host's name, who asks, what they may, how refusals are told."""

from __future__ import annotations

import asyncio
import logging
import time

from aiohttp import web

from sihl_dashboard.records import QueryError
from sihl_dashboard.records.refs import check_name
from sihl_dashboard.server.local import check_host
from sihl_dashboard.server.refusals import ForbiddenError, NotThereError, RefusalError
from sihl_dashboard.server.routes import Handler, Route
from sihl_dashboard.server.sessions import check_csrf, check_origin
from sihl_dashboard.server.state import PERSON, State, state_of

log = logging.getLogger("sihl.dashboard")

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # A browser asks by ETag each time; nobody between keeps anything.
    "Cache-Control": "private, no-cache",
}


def harden(answer: web.StreamResponse) -> None:
    """Give an answer the headers that keep a browser from doing what the pages never want."""
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    answer.headers["Server"] = "sihl"


@web.middleware
async def tell_refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer errors as JSON, and count."""
    meters = state_of(request).meters
    began = time.monotonic()
    status = 500
    try:
        answer = await handler(request)
        status = answer.status
    except RefusalError as refusal:
        status = refusal.status
        answer = refused(refusal)
    except web.HTTPException as error:
        status = error.status
        if status < 400:
            raise
        answer = _told(status, "refused", error.reason, "check the address")
    except (asyncio.CancelledError, ConnectionError):
        status = 499
        raise
    except Exception:
        log.exception("a request failed")
        answer = _told(500, "fault", "the dashboard failed at this", "try again, and report it")
    finally:
        resource = request.match_info.route.resource
        route = resource.canonical if resource else "none"
        meters.requests.labels(route, str(status)).inc()
        if not route.endswith("/stream"):
            meters.seconds.labels(route).observe(time.monotonic() - began)
    return answer


def refused(refusal: RefusalError) -> web.Response:
    """A refusal as JSON."""
    return _told(refusal.status, refusal.code, refusal.message, refusal.remedy)


def _told(status: int, code: str, message: str, remedy: str) -> web.Response:
    body = {"error": {"code": code, "message": message, "remedy": remedy}}
    headers = {"Cache-Control": "no-store"}
    if status == 503:
        headers["Retry-After"] = "5"
    return web.json_response(body, status=status, headers=headers)


@web.middleware
async def check_local_host(request: web.Request, handler: Handler) -> web.StreamResponse:
    """On one's own machine: refuse pages of other names that lead here."""
    if state_of(request).people.mode == "local":
        check_host(request)
    return await handler(request)


def guarded(route: Route) -> Handler:
    """A route's handler behind what it needs."""
    if route.need == "nothing":
        return route.handler

    async def handle(request: web.Request) -> web.StreamResponse:
        await _allow(state_of(request), request, route)
        return await route.handler(request)

    return handle


async def _allow(state: State, request: web.Request, route: Route) -> None:
    """Raises RefusalError."""
    person = await state.people.of(request)
    PERSON.set(person)
    for name in ("namespace", "project", "job", "name"):
        try:
            if name in request.match_info:
                check_name(request.match_info[name])
        except QueryError:
            raise NotThereError from None
    if route.need == "act":
        check_csrf(request, person)
        if state.actor is None or not state.actor.can_act(person):
            raise ForbiddenError(
                "you can look here, and not act", "log in with a token of your own"
            )
    elif request.method not in ("GET", "HEAD"):
        check_origin(request)
    namespace = request.match_info.get("namespace")
    if namespace is None:
        return
    if not await state.access.may(person, namespace, "jobs"):
        raise NotThereError
    if route.need == "logs" and not await state.access.may(person, namespace, "logs"):
        raise NotThereError("there is no log that you may see")
