"""Logging in with a token, and out: the token lies in a cookie that no script reads."""

from __future__ import annotations

import orjson
from aiohttp import web

from sihl_dashboard.server.refusals import BadRequestError, NotThereError
from sihl_dashboard.server.sessions import (
    LONGEST_TOKEN,
    check_origin,
    forget_cookie,
    is_secure,
    set_cookie,
)
from sihl_dashboard.server.state import state_of


async def login(request: web.Request) -> web.StreamResponse:
    """POST /login {token}: keeps it, if the API server knows it."""
    state = state_of(request)
    check_origin(request)
    if state.people.mode != "token":
        raise NotThereError("nobody logs in here", "open the dashboard's own address")
    token = _token(await request.read())
    person = await state.people.believe(token)
    answer = web.json_response({"user": person.name}, headers={"Cache-Control": "no-store"})
    set_cookie(answer, token, is_secure(request))
    return answer


def _token(body: bytes) -> str:
    try:
        token = orjson.loads(body)["token"]
        assert isinstance(token, str)
    except (ValueError, TypeError, LookupError, AssertionError):
        raise BadRequestError("there is no token", 'send {"token": "..."}') from None
    token = token.strip()
    if not token or not all("!" <= each <= "~" and each not in ' ",;\\' for each in token):
        raise BadRequestError("this is no token", "paste what `kubectl create token` prints")
    if len(token) > LONGEST_TOKEN:
        raise BadRequestError(
            f"a token of {len(token)} bytes fits into no cookie",
            "use one with fewer claims, or let a proxy log people in",
        )
    return token


async def logout(request: web.Request) -> web.StreamResponse:
    """POST /logout: forgets it."""
    check_origin(request)
    answer = web.json_response({}, headers={"Cache-Control": "no-store"})
    forget_cookie(answer, is_secure(request))
    return answer
