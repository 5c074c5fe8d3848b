"""In a cluster: people are known by their token, or by an authenticating proxy's headers."""

from __future__ import annotations

import secrets
from dataclasses import replace

from aiohttp import web

from sihl_dashboard.server.people import Mode, Person
from sihl_dashboard.server.refusals import NotThereError, UnknownPersonError
from sihl_dashboard.server.reviews import Reviews
from sihl_dashboard.server.sessions import COOKIE, LONGEST_TOKEN

_BEARER = "bearer "
_AUTHENTICATED = "system:authenticated"
_RESERVED = "system:"
_LONGEST = 10_000


class TokenPeople:
    """Who brings a token that the API server knows: in a header, or in the cookie of the login."""

    mode: Mode = "token"

    def __init__(self, reviews: Reviews) -> None:
        self._reviews = reviews

    async def of(self, request: web.Request) -> Person:
        """Who. Raises UnknownPersonError, UndecidedError."""
        token = bearer(request)
        if token is not None:
            return await self.believe(token)  # no browser sends it by itself
        token = request.cookies.get(COOKIE, "")
        if not token:
            raise UnknownPersonError
        return replace(await self.believe(token), secret=token)

    async def believe(self, token: str) -> Person:
        """Whose a token is. Raises UnknownPersonError, UndecidedError."""
        person = await self._reviews.whose(token) if len(token) <= _LONGEST else None
        if person is None:
            raise UnknownPersonError("the cluster does not know this token, or not any longer")
        return replace(person, token=token)

    async def still(self, person: Person) -> bool:
        """Whether the token still is theirs. Raises UndecidedError."""
        return person.token is not None and await self._reviews.whose(person.token) == person


class ProxyPeople:
    """Who an authenticating proxy says asks; a NetworkPolicy lets that proxy in alone.

    What the proxy passes on of a person's own token (`Authorization: Bearer`) serves to act with.

    Args:
        user_header: Has the person's name.
        groups_header: Has their groups, with commas between.
    """

    mode: Mode = "proxy"

    def __init__(self, user_header: str, groups_header: str) -> None:
        self._user_header, self._groups_header = user_header, groups_header
        self._secret = secrets.token_urlsafe(24)

    async def of(self, request: web.Request) -> Person:
        """Who. Raises UnknownPersonError."""
        names = request.headers.getall(self._user_header, [])
        if len(names) != 1 or not _is_name(names[0]):
            raise UnknownPersonError(
                "the proxy in front does not say who you are", "log in there, or ask who runs it"
            )
        groups = {
            group.strip()
            for text in request.headers.getall(self._groups_header, [])
            for group in text.split(",")
        }
        # No identity provider makes anybody one of the cluster's own (system:masters).
        held = sorted(group for group in groups if _is_name(group))
        return Person(
            name=names[0],
            mode="proxy",
            groups=(*held, _AUTHENTICATED),
            secret=f"{self._secret} {names[0]}",
            token=bearer(request),
        )

    async def believe(self, token: str) -> Person:  # noqa: ARG002
        """Nobody logs in here. Raises NotThereError."""
        raise NotThereError("nobody logs in here", "the proxy in front does that")

    async def still(self, person: Person) -> bool:  # noqa: ARG002 (the proxy ends what it knows)
        """As far as anybody here can know."""
        return True


def bearer(request: web.Request) -> str | None:
    """The token of the Authorization header."""
    given = request.headers.get("Authorization", "")
    if given[: len(_BEARER)].lower() != _BEARER:
        return None
    token = given[len(_BEARER) :].strip()
    # A token is one word; anything else would write headers of its own.
    return token if token and all("!" <= each <= "~" for each in token) else None


def _is_name(text: str) -> bool:
    return 0 < len(text) <= LONGEST_TOKEN and text.isprintable() and not text.startswith(_RESERVED)
