"""The cookie by which a browser stays logged in, and what keeps other pages from using it."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from aiohttp import web

from sihl_dashboard.server.people import Person
from sihl_dashboard.server.refusals import ForbiddenError

COOKIE = "sihl-session"
CSRF_HEADER = "X-CSRF"
LONGEST_TOKEN = 3800
"""Browsers keep cookies of 4 kB."""


def set_cookie(answer: web.StreamResponse, value: str, is_secure: bool) -> None:
    """Keep it in the browser until that is closed; no script reads it, no other page sends it."""
    answer.set_cookie(COOKIE, value, path="/", httponly=True, samesite="Strict", secure=is_secure)


def forget_cookie(answer: web.StreamResponse, is_secure: bool) -> None:
    """Take it out of the browser."""
    answer.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict", secure=is_secure)


def is_secure(request: web.Request) -> bool:
    """Whether the browser came by TLS, as far as the proxy in front tells."""
    forwarded = request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip()
    return request.secure or forwarded == "https"


def check_origin(request: web.Request) -> None:
    """Refuse what another page made the browser send. Raises ForbiddenError.

    Browsers of the last years say where a request comes from, and no page can make them lie; older
    ones name the page's origin.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        is_own = site in ("same-origin", "none")
    else:
        is_own = origin is None or urlsplit(origin).netloc in _hosts(request)
    if not is_own:
        raise ForbiddenError("another page made this request", "act on the dashboard's own page")


def _hosts(request: web.Request) -> tuple[str, ...]:
    named = (request.headers.get("Host"), request.headers.get("X-Forwarded-Host"))
    return tuple(name for name in named if name)  # an origin may be "null", which names nobody


def check_csrf(request: web.Request, person: Person) -> None:
    """Refuse an action that the person's own page did not send. Raises ForbiddenError."""
    check_origin(request)
    expected = person.csrf
    given = request.headers.get(CSRF_HEADER, "")
    if expected is not None and not hmac.compare_digest(given.encode(), expected.encode()):
        raise ForbiddenError(
            f"the request lacks the {CSRF_HEADER} header that /api/v1/me gives",
            "load the page anew",
        )
