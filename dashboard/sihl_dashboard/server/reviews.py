"""Asks the API server whose a token is (TokenReview) and what they may (SubjectAccessReview)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from sihl_api.trainingjob import GROUP, PLURAL
from sihl_dashboard.server.access import Right
from sihl_dashboard.server.kept import Kept
from sihl_dashboard.server.kube import Kube, KubeError
from sihl_dashboard.server.meters import Meters
from sihl_dashboard.server.people import Person
from sihl_dashboard.server.refusals import UndecidedError

Document = dict[str, Any]
YES, NO = 30.0, 5.0
"""Seconds for which an answer is kept."""
_MOST = 10_000

_TOKENS = "/apis/authentication.k8s.io/v1/tokenreviews"
_ACCESS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_RESOURCES: dict[Right, Document] = {
    "jobs": {"verb": "list", "group": GROUP, "resource": PLURAL},
    "logs": {"verb": "get", "group": "", "resource": "pods", "subresource": "log"},
}


@dataclass(frozen=True)
class Known:
    """Whose a token is; nobody's where `person` is None."""

    person: Person | None


class Reviews:
    """Both, with what was answered lately.

    Args:
        kube: Asks with the dashboard's own credentials.
        meters: Told each question.
        yes: Seconds for which a good answer is kept.
        no: Likewise a bad one.
    """

    def __init__(self, kube: Kube, meters: Meters, yes: float = YES, no: float = NO) -> None:
        self._kube = kube
        self._meters = meters
        self._tokens: Kept[bytes, Known] = Kept(lambda each: yes if each.person else no, _MOST)
        self._rights: Kept[tuple[Person, str, Right], tuple[bool]] = Kept(
            lambda each: yes if each[0] else no, _MOST
        )

    async def whose(self, token: str) -> Person | None:
        """Whose a token is; None: nobody's. Raises UndecidedError."""
        key = hashlib.sha256(token.encode()).digest()  # no token lies about in memory for long
        return (await self._tokens.get(key, lambda: self._whose(token))).person

    async def may(self, person: Person, namespace: str, right: Right) -> bool:
        """Whether they may. Raises UndecidedError."""
        key = (person, namespace, right)
        return (await self._rights.get(key, lambda: self._may(*key)))[0]

    async def _whose(self, token: str) -> Known:
        status = await self._review("token", _TOKENS, {"token": token}, "authenticated")
        user = status.get("user") or {}
        if status.get("authenticated") is not True or not user.get("username"):
            return Known(None)
        extra = {str(k): tuple(map(str, v or ())) for k, v in (user.get("extra") or {}).items()}
        return Known(
            Person(
                name=str(user["username"]),
                mode="token",
                groups=tuple(map(str, user.get("groups") or ())),
                uid=str(user.get("uid") or ""),
                extra=tuple(sorted(extra.items())),
            )
        )

    async def _may(self, person: Person, namespace: str, right: Right) -> tuple[bool]:
        spec = {
            "user": person.name,
            "groups": list(person.groups),
            "uid": person.uid,
            "extra": {name: list(values) for name, values in person.extra},
            "resourceAttributes": {"namespace": namespace, **_RESOURCES[right]},
        }
        status = await self._review("access", _ACCESS, spec, "allowed")
        allowed = status.get("allowed") is True and status.get("denied") is not True
        if not allowed and status.get("evaluationError"):
            raise UndecidedError("the API server could not decide what you may see")
        return (allowed,)

    async def _review(self, kind: str, path: str, spec: Document, field: str) -> Document:
        group, version = path.split("/")[2:4]
        name = "TokenReview" if kind == "token" else "SubjectAccessReview"
        body = {"apiVersion": f"{group}/{version}", "kind": name, "spec": spec}
        try:
            found = await self._kube.call("POST", path, body)
        except KubeError as error:
            self._meters.reviews.labels(kind, "undecided").inc()
            raise UndecidedError(
                f"the API server does not say who you are or what you may see ({error.status})",
                "try again in a moment; if it stays so, check the dashboard's own rights",
            ) from error
        status: Document = found.get("status") or {}
        self._meters.reviews.labels(kind, "yes" if status.get(field) is True else "no").inc()
        return status
