"""Who asks, and by what that is believed."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Literal, Protocol

from aiohttp import web

Mode = Literal["token", "proxy", "local"]


@dataclass(frozen=True)
class Person:
    """Who asks, as the API server knows them.

    Attributes:
        mode: By what they are believed: a token, an authenticating proxy, being on this machine.
        secret: What their browser holds and no other page knows; "" where nothing is sent by
            itself, and so no other page can make the browser ask.
        token: Their own, to act with; None where they gave none.
    """

    name: str
    mode: Mode
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
    secret: str = field(default="", repr=False, compare=False)
    token: str | None = field(default=None, repr=False, compare=False)

    @property
    def csrf(self) -> str | None:
        """What the person's own page sends with each action; None where none is needed.

        It is made of the secret, so that no server needs to remember it.
        """
        if not self.secret:
            return None
        return hmac.new(
            self.secret.encode(), b"sihl dashboard: actions", hashlib.sha256
        ).hexdigest()


class People(Protocol):
    """Tells who asks."""

    mode: Mode

    async def of(self, request: web.Request) -> Person:
        """Who. Raises UnknownPersonError, UndecidedError."""

    async def still(self, person: Person) -> bool:
        """Whether they are who they were when they asked. Raises UndecidedError."""

    async def believe(self, token: str) -> Person:
        """Whose a token is. Raises UnknownPersonError, UndecidedError."""
