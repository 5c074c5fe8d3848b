"""Acts on jobs with a person's token against the API server: its answer is theirs."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from sihl_api.trainingjob import API_VERSION, PLURAL
from sihl_dashboard.server.kube import Kube, KubeError
from sihl_dashboard.server.people import Person
from sihl_dashboard.server.refusals import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotThereError,
    RefusalError,
    UndecidedError,
    UnknownPersonError,
)

Document = dict[str, Any]


class KubeActor:
    """Acts.

    Args:
        kube: The API server.
        as_itself: Whether the process's own credentials are the person's, as on their own machine.
    """

    def __init__(self, kube: Kube, as_itself: bool = False) -> None:
        self._kube = kube
        self._as_itself = as_itself

    def can_act(self, person: Person) -> bool:
        """Whether there is a token of theirs."""
        return self._as_itself or person.token is not None

    async def create(self, person: Person, namespace: str, job: Document) -> Document:
        """Submit a job; unknown fields are refused. Raises RefusalError."""
        query = {"fieldValidation": "Strict"}
        return await self._call(person, "POST", _path(namespace), job, query=query)

    async def patch(self, person: Person, namespace: str, name: str, change: Document) -> Document:
        """Change a job's spec. Raises RefusalError."""
        kind = "application/merge-patch+json"
        return await self._call(person, "PATCH", _path(namespace, name), change, kind)

    async def delete(self, person: Person, namespace: str, name: str) -> None:
        """Delete a job. Raises RefusalError."""
        await self._call(person, "DELETE", _path(namespace, name))

    async def _call(
        self,
        person: Person,
        method: str,
        path: str,
        body: Any = None,
        kind: str = "application/json",
        query: dict[str, str] | None = None,
    ) -> Document:
        if not self.can_act(person):  # never with the dashboard's own rights
            raise ForbiddenError(
                "you can look here, and not act", "log in with a token of your own"
            )
        token = None if self._as_itself else person.token
        try:
            return await self._kube.call(method, path, body, kind, query, token)
        except KubeError as error:
            raise refusal_of(error) from error


def refusal_of(error: KubeError) -> RefusalError:
    """What the API server answered, as a page tells it."""
    message = error.message[:3000] or f"the API server answered {error.status}"
    match error.status:
        case 401:
            return UnknownPersonError("the API server does not know you any longer")
        case 403:
            return ForbiddenError(message, "ask for the right to do it")
        case 404:
            return NotThereError("there is no such job", "load the page anew")
        case 409:
            return ConflictError(message, "choose another name, or load the page anew")
        case 400 | 413 | 415 | 422:
            return InvalidError(message, "correct the job")
    return UndecidedError("the API server did not answer; it may have happened all the same",
                          "look whether it did, then try again")  # fmt: skip


def _path(namespace: str, name: str = "") -> str:
    path = f"/apis/{API_VERSION}/namespaces/{quote(namespace, safe='')}/{PLURAL}"
    return f"{path}/{quote(name, safe='')}" if name else path
