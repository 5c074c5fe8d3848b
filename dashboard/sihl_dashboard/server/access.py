"""What a person may see: asked for each namespace before anything of it is looked up."""

from __future__ import annotations

from typing import Literal, Protocol

from sihl_dashboard.server.people import Person

Right = Literal["jobs", "logs"]
"""`jobs` is `list trainingjobs.sihl.ai`, `logs` is `get pods/log`, of a namespace."""


class Access(Protocol):
    """Decides."""

    async def may(self, person: Person, namespace: str, right: Right) -> bool:
        """Whether they may. Raises UndecidedError."""


class Owner:
    """Everything is the person's own, or read by their own credentials."""

    async def may(self, person: Person, namespace: str, right: Right) -> bool:  # noqa: ARG002
        """They may."""
        return True
