"""On one's own machine: whoever has the secret that was printed once is the one who started it."""

from __future__ import annotations

import getpass
import hmac
import secrets
from collections.abc import Collection

from aiohttp import web

from sihl_dashboard.server.people import Mode, Person
from sihl_dashboard.server.refusals import ForbiddenError, UnknownPersonError
from sihl_dashboard.server.sessions import COOKIE, set_cookie

OPEN = "/open"
_HOSTS = ("127.0.0.1", "localhost", "[::1]")


class LocalPeople:
    """One person: the one whose browser was given the secret.

    Other users of the machine can reach the port, and pages of the internet can make the browser
    ask: neither has the cookie. A page whose name was made to mean this machine is told by `Host`.
    """

    mode: Mode = "local"

    def __init__(self) -> None:
        self._secret: str | None = secrets.token_urlsafe(24)
        self._cookie = secrets.token_urlsafe(32)
        self._person = Person(_user(), "local", secret=self._cookie)

    @property
    def path(self) -> str:
        """What opens the dashboard, once."""
        return f"{OPEN}?secret={self._secret}"

    @property
    def cookie(self) -> dict[str, str]:
        """What a browser holds that was let in."""
        return {COOKIE: self._cookie}

    async def of(self, request: web.Request) -> Person:
        """Who holds the cookie. Raises UnknownPersonError."""
        if hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self._cookie.encode()):
            return self._person
        raise UnknownPersonError(
            "this browser was not let in", "open the address that the command printed"
        )

    async def still(self, person: Person) -> bool:  # noqa: ARG002 (there is one)
        """As long as the process lives."""
        return True

    async def believe(self, token: str) -> Person:  # noqa: ARG002
        """Nobody logs in here. Raises UnknownPersonError."""
        raise UnknownPersonError("nobody logs in here", "open the address that was printed")

    async def open(self, request: web.Request) -> web.StreamResponse:
        """Let the browser in that brings the secret: the first one does, and no other."""
        given = request.query.get("secret", "")
        is_in = hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self._cookie.encode())
        if not is_in:
            known = self._secret
            if known is None or not hmac.compare_digest(given.encode(), known.encode()):
                raise UnknownPersonError(
                    "this address has been used, or is not the one that was printed",
                    "start the dashboard again, and open what it prints",
                )
            self._secret = None
        answer = web.Response(status=303, headers={"Location": "/", "Cache-Control": "no-store"})
        set_cookie(answer, self._cookie, is_secure=False)
        return answer


def check_host(request: web.Request, hosts: Collection[str] = _HOSTS) -> None:
    """Refuse a name that is not this machine's. Raises ForbiddenError."""
    name, _, port = request.headers.get("Host", "").rpartition(":")
    if not port.isdecimal():
        name = request.headers.get("Host", "")
    if name not in hosts:
        raise ForbiddenError(
            "this dashboard answers to its own machine's name only",
            "open it as http://127.0.0.1, with the port that was printed",
        )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "local"
