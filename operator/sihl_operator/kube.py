"""The API server, as the operator uses it: a handful of calls, typed errors, writes counted.

What it needs of RBAC, and nothing more:
    sihl.ai trainingjobs: get list watch;  trainingjobs/status: patch
    "" pods: get list watch create delete;  nodes: list watch;  events: create list
    coordination.k8s.io leases (own namespace): get create update
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Protocol, Self

import aiohttp
import orjson
from aiohttp.typedefs import StrOrURL

from sihl_api.text import shortened
from sihl_api.trainingjob import API_VERSION, PLURAL
from sihl_operator.access import Access
from sihl_operator.views import lean

KINDS = ("node", "pod", "job")
"""What is listed and watched, in this order: a job is judged by its pod."""
_PATHS = {
    "node": "/api/v1/nodes",
    "pod": "/api/v1/pods",  # of all namespaces: capacity counts every pod
    "job": f"/apis/{API_VERSION}/{PLURAL}",
}
_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=10)
_WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=10, sock_read=120)
"""The API server sends a bookmark a minute at least: longer silence is a dead connection's."""
_WATCH_SECONDS = 300
_READ_BYTES = 1 << 20
_PAGE = 1000
_LONGEST_PAUSE = 60.0
"""That an API server is granted, whatever it asks for: it may be well again before."""


See = Callable[[str, dict[str, Any]], None]
"""Told an event of a watch: its type, and the object."""


class ApiError(Exception):
    """The API server refused a call, or did not answer."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason, self.message = status, reason, message


class ConflictError(ApiError):
    """The object is not the one that was seen: read it again."""


class AlreadyExistsError(ApiError):
    """The name is taken."""


class NotFoundError(ApiError):
    """There is none, or none with that uid."""


class GoneError(ApiError):
    """The version is too old to be watched from: list again."""


class UnavailableError(ApiError):
    """No answer, or one that asks to try again; a write may have taken effect.

    Attributes:
        pause: Seconds for which the API server asks to be left alone.
    """

    pause = 0.0


class Api(Protocol):
    """What deciding and acting need of the API server."""

    async def list_all(self, kind: str) -> tuple[list[dict[str, Any]], str]: ...  # noqa: D102
    async def watch(self, kind: str, version: str, see: See) -> None: ...  # noqa: D102
    async def get_job(self, namespace: str, name: str) -> dict[str, Any]: ...  # noqa: D102
    async def patch_job_status(  # noqa: D102
        self, namespace: str, name: str, version: str, status: dict[str, Any]
    ) -> dict[str, Any]: ...
    async def delete_job(  # noqa: D102
        self, namespace: str, name: str, uid: str, version: str
    ) -> None: ...
    async def get_pod(self, namespace: str, name: str) -> dict[str, Any]: ...  # noqa: D102
    async def create_pod(self, pod: dict[str, Any]) -> dict[str, Any]: ...  # noqa: D102
    async def delete_pod(  # noqa: D102
        self, namespace: str, name: str, uid: str, grace: int | None
    ) -> None: ...
    async def create_event(self, event: dict[str, Any]) -> None: ...  # noqa: D102
    async def events_of(self, namespace: str, uid: str) -> list[dict[str, Any]]: ...  # noqa: D102


class KubeApi:
    """The real one. Use as an async context manager.

    Args:
        wrote: Told the verb and the resource of every write that was tried.
        namespaces: Whose objects to list; empty: all.
    """

    def __init__(self, wrote: Callable[[str, str], None], namespaces: tuple[str, ...] = ()) -> None:
        self._wrote = wrote
        self._namespaces = namespaces
        self._access = Access()
        self._answered = time.monotonic()
        self._trouble = ""

    @property
    def silence(self) -> tuple[float, str]:
        """Seconds since a call was answered by more than a refusal to know us, and the fault."""
        return time.monotonic() - self._answered, self._trouble or "calls come to no end"

    async def __aenter__(self) -> Self:
        calls, watches = (aiohttp.TCPConnector(limit=most) for most in (64, 0))
        self._session = aiohttp.ClientSession(connector=calls, timeout=_TIMEOUT)
        # A watch of each namespace must not take the connections by which the lead is renewed.
        self._watches = aiohttp.ClientSession(connector=watches, timeout=_WATCH_TIMEOUT)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._watches.close()

    async def list_all(self, kind: str) -> tuple[list[dict[str, Any]], str]:
        """All jobs, pods or nodes, and a version: a watch from there has all that changed later."""
        items: list[dict[str, Any]] = []
        versions = []
        for namespace in self._namespaces if kind == "job" and self._namespaces else ("",):
            following = ""
            while True:
                query = {"limit": str(_PAGE)} | ({"continue": following} if following else {})
                page = await self._call("GET", _path(kind, namespace), query=query)
                items += map(lean, page["items"])  # of thousands each byte counts
                versions.append(int(page["metadata"]["resourceVersion"]))
                following = page["metadata"].get("continue") or ""
                if not following:
                    break
        return items, str(min(versions))

    async def watch(self, kind: str, version: str, see: See) -> None:
        """Tell what happens to a kind after a version, until the API server ends it.

        It does so every few minutes.

        Args:
            kind: Job, pod or node.
            version: After which.
            see: Told each event's type and object; bookmarks are among them.

        Raises:
            GoneError: The API server knows nothing of so long ago.
            UnavailableError: It does not answer, or has been silent for long.
        """
        query = {
            "watch": "1", "allowWatchBookmarks": "true", "resourceVersion": version,
            "timeoutSeconds": str(random.randint(_WATCH_SECONDS, 2 * _WATCH_SECONDS)),
        }  # fmt: skip
        try:
            async with await self.open(f"{self.host}{_path(kind)}", query) as answer:
                if answer.status >= 400:
                    raise _error(answer.status, _parsed(await answer.read()))
                rest = b""
                async for part in answer.content.iter_any():
                    *lines, rest = (rest + part).split(b"\n")
                    for event in map(orjson.loads, lines):
                        if event["type"] == "ERROR":
                            raise _error(int(event["object"].get("code") or 500), event["object"])
                        see(event["type"], event["object"])
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise _unanswered(error) from error

    async def open(
        self, url: StrOrURL, query: dict[str, str] | None = None
    ) -> aiohttp.ClientResponse:
        """The answer to a GET, which may go on for ever; whatever it says, it is the caller's.

        Raises:
            aiohttp.ClientError: There is none; or OSError, or TimeoutError.
        """
        self._access.refresh()
        return await self._watches.get(
            url, params=query, headers=self._access.authorization, ssl=self._access.tls,
            read_bufsize=_READ_BYTES,
        )  # fmt: skip

    @property
    def host(self) -> str:
        """The API server's address: scheme, name and port."""
        return self._access.host

    async def get_job(self, namespace: str, name: str) -> dict[str, Any]:
        """A TrainingJob."""
        return await self._call("GET", _path("job", namespace, name))

    async def patch_job_status(
        self, namespace: str, name: str, version: str, status: dict[str, Any]
    ) -> dict[str, Any]:
        """Merge into a job's status, if the job still is at `version`; nulls remove."""
        body = {"metadata": {"resourceVersion": version}, "status": status}
        return await self._write(
            "patch", "trainingjobs", "PATCH", f"{_path('job', namespace, name)}/status", body,
            "application/merge-patch+json",
        )  # fmt: skip

    async def delete_job(self, namespace: str, name: str, uid: str, version: str) -> None:
        """Delete a job if it still is the one with `uid`, at the version; its pod goes with it."""
        body = {
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
            "preconditions": {"uid": uid, "resourceVersion": version},
        }  # fmt: skip
        await self._write("delete", "trainingjobs", "DELETE", _path("job", namespace, name), body)

    async def get_pod(self, namespace: str, name: str) -> dict[str, Any]:
        """A pod."""
        return await self._call("GET", _path("pod", namespace, name))

    async def create_pod(self, pod: dict[str, Any]) -> dict[str, Any]:
        """Create a pod."""
        path = _path("pod", pod["metadata"]["namespace"])
        return await self._write("create", "pods", "POST", path, pod)

    async def delete_pod(self, namespace: str, name: str, uid: str, grace: int | None) -> None:
        """Delete a pod if it still is the one with `uid`; grace None: its own."""
        body: dict[str, Any] = {
            "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid},
        }  # fmt: skip
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        await self._write("delete", "pods", "DELETE", _path("pod", namespace, name), body)

    async def events_of(self, namespace: str, uid: str) -> list[dict[str, Any]]:
        """All Events about an object of a namespace."""
        query = {"fieldSelector": f"involvedObject.uid={uid}", "limit": str(_PAGE)}
        found = await self._call("GET", f"/api/v1/namespaces/{namespace}/events", query=query)
        items: list[dict[str, Any]] = found["items"]
        return items

    async def create_event(self, event: dict[str, Any]) -> None:
        """Create an Event."""
        path = f"/api/v1/namespaces/{event['metadata']['namespace']}/events"
        await self._write("create", "events", "POST", path, event)

    async def lease(
        self, verb: str, namespace: str, name: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Get, create or update a Lease."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        if verb == "get":
            return await self._call("GET", f"{path}/{name}")
        if verb == "create":
            return await self._write("create", "leases", "POST", path, body)
        return await self._write("update", "leases", "PUT", f"{path}/{name}", body)

    # --- one call ----------------------------------------------------------------------------

    async def _write(
        self, verb: str, resource: str, method: str, path: str, body: Any,
        kind: str = "application/json",
    ) -> dict[str, Any]:  # fmt: skip
        self._wrote(verb, resource)
        return await self._call(method, path, body, kind)

    async def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        kind: str = "application/json",
        query: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        access = self._access
        access.refresh()
        headers = {"Content-Type": kind, "Accept": "application/json", **access.authorization}
        data = orjson.dumps(body) if body is not None else None
        try:
            async with self._session.request(
                method, f"{access.host}{path}", data=data, headers=headers, params=query,
                ssl=access.tls,
            ) as answer:  # fmt: skip
                content = await answer.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._noted(_unanswered(error)) from error
        found = _parsed(content)
        if answer.status >= 400:
            raise self._noted(_error(answer.status, found, answer.headers.get("Retry-After", "")))
        self._answered, self._trouble = time.monotonic(), ""
        return found

    def _noted(self, error: ApiError) -> ApiError:
        """An answer that says no is one, unless the API server is away or does not know us."""
        if error.status in (0, 401):  # not believed: by its certificate, or by our token
            self._access.doubt()
        if isinstance(error, UnavailableError) or error.status == 401:
            self._trouble = str(error)
        else:
            self._answered = time.monotonic()
        return error


def _path(kind: str, namespace: str = "", name: str = "") -> str:
    """Of a kind, of a namespace's, or of one object."""
    parent, plural = _PATHS[kind].rsplit("/", 1)
    where = f"{parent}/namespaces/{namespace}/{plural}" if namespace else _PATHS[kind]
    return f"{where}/{name}" if name else where


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = orjson.loads(content) if content else {}
    except orjson.JSONDecodeError:
        return {"message": shortened(content.decode(errors="replace"), 200)}
    return found


def _unanswered(error: Exception) -> UnavailableError:
    return UnavailableError(0, type(error).__name__, str(error))


def _error(status: int, body: dict[str, Any], pause: str = "") -> ApiError:
    reason, message = str(body.get("reason") or ""), str(body.get("message") or "")
    if status == 409:
        kind = AlreadyExistsError if reason == "AlreadyExists" else ConflictError
        return kind(status, reason, message)
    if status == 404:
        return NotFoundError(status, reason, message)
    if status == 410:
        return GoneError(status, reason, message)
    if status in (408, 429) or status >= 500:
        error = UnavailableError(status, reason, message)
        error.pause = min(_LONGEST_PAUSE, float(pause)) if pause.isdecimal() else 0.0
        return error
    return ApiError(status, reason, message)
