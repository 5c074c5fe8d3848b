"""The API server, as the dashboard uses it: the only module of the server that speaks with it.

What it needs of RBAC in a cluster, and nothing more:
    authentication.k8s.io tokenreviews: create;  authorization.k8s.io subjectaccessreviews: create
    sihl.ai trainingjobs: list watch;  "" pods, nodes: list watch
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from kubernetes import client, config
from kubernetes.client.rest import should_bypass_proxies

Document = dict[str, Any]
See = Callable[[str, Document], None]

_TIMEOUT = aiohttp.ClientTimeout(total=15, connect=5)
_WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=10, sock_read=120)
"""The API server sends a bookmark a minute at least: longer silence is a dead connection's."""
_WATCH_SECONDS = 300
_READ_BYTES = 1 << 20
_TOKEN_SECONDS = 60.0
_PAGE = 500


class KubeError(Exception):
    """The API server refused a call, or did not answer.

    Args:
        status: HTTP's; 0 where nobody answered.
        reason: As the API server spells it.
        message: For a person.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason, self.message = status, reason, message


def in_cluster_or_kubeconfig() -> Any:
    """The pod's own credentials, or the kubeconfig's. Raises ConfigException."""
    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException:
        config.load_kube_config(client_configuration=configuration)
    return configuration


class Kube:
    """One API server, with credentials of its own. Use as an async context manager.

    Args:
        configuration: The client library's: address, certificates, credentials.
    """

    def __init__(self, configuration: Any) -> None:
        self._configuration = configuration
        self._token: tuple[float, str] = (0.0, "")
        self._way = _way(configuration)

    async def __aenter__(self) -> Kube:
        own, anybody = _tls(self._configuration, True), _tls(self._configuration, False)
        self._contexts = (own, anybody)
        # A person's calls must not carry this process's certificate.
        self._own, self._people, self._watches = (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=tls, limit=most),
                timeout=timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            for tls, most, timeout in (
                (own, 64, _TIMEOUT), (anybody, 64, _TIMEOUT), (own, 0, _WATCH_TIMEOUT)
            )
        )  # fmt: skip
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in (self._own, self._people, self._watches):
            await session.close()

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        kind: str = "application/json",
        query: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> Document:
        """One call. Raises KubeError.

        Args:
            method: HTTP's.
            path: Its parts are quoted.
            body: As JSON.
            kind: Of the body.
            query: What else is asked.
            token: A person's, instead of this process's own credentials.
        """
        session, credentials = self._own, await self._authorization()
        if token is not None:
            session, credentials = self._people, {"Authorization": f"Bearer {token}"}
        headers = {"Content-Type": kind, "Accept": "application/json", **credentials}
        data = orjson.dumps(body) if body is not None else None
        url = f"{self._configuration.host}{path}"
        try:
            async with session.request(
                method,
                url,
                data=data,
                headers=headers,
                params=query,
                allow_redirects=False,
                **self._way,
            ) as answer:
                content = await answer.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._unanswered(error) from error
        found = _parsed(content)
        if answer.status >= 300:
            raise _error(answer.status, found)
        return found

    async def list_all(self, path: str) -> tuple[list[Document], str]:
        """All objects of a collection, and the version from which to watch. Raises KubeError."""
        items: list[Document] = []
        following, version = "", ""
        while True:
            query = {"limit": str(_PAGE)} | ({"continue": following} if following else {})
            page = await self.call("GET", path, query=query)
            items += page["items"]
            version = version or str(page["metadata"]["resourceVersion"])
            following = page["metadata"].get("continue") or ""
            if not following:
                return items, version

    async def watch(self, path: str, version: str, see: See) -> None:
        """Tell what happens to a collection after a version, until the API server ends it.

        Raises:
            KubeError: status 410 where the version is too old; 0 where nobody answers.
        """
        query = {
            "watch": "1", "allowWatchBookmarks": "true", "resourceVersion": version,
            "timeoutSeconds": str(random.randint(_WATCH_SECONDS, 2 * _WATCH_SECONDS)),
        }  # fmt: skip
        try:
            async with self._watches.get(
                f"{self._configuration.host}{path}", params=query,
                headers=await self._authorization(), read_bufsize=_READ_BYTES, **self._way,
            ) as answer:  # fmt: skip
                if answer.status >= 300:
                    raise _error(answer.status, _parsed(await answer.read()))
                rest = b""
                async for part in answer.content.iter_any():
                    *lines, rest = (rest + part).split(b"\n")
                    for event in map(orjson.loads, lines):
                        if event["type"] == "ERROR":
                            raise _error(int(event["object"].get("code") or 500), event["object"])
                        see(event["type"], event["object"])
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._unanswered(error) from error

    def _unanswered(self, error: Exception) -> KubeError:
        """Who is not believed may have a certificate of the authority that has replaced another."""
        authority = self._configuration.ssl_ca_cert
        if authority and isinstance(error, aiohttp.ClientConnectorCertificateError):
            with contextlib.suppress(OSError, ssl.SSLError):
                for context in self._contexts:
                    context.load_verify_locations(authority)
        return KubeError(0, type(error).__name__, str(error))

    async def _authorization(self) -> dict[str, str]:
        """The token is read anew from time to time: Kubernetes rotates a pod's."""
        read_at, token = self._token
        if time.monotonic() - read_at > _TOKEN_SECONDS or not token:
            # A kubeconfig may have a program run for it.
            try:
                token = await asyncio.to_thread(self._read_token)
            except Exception as error:
                raise KubeError(0, type(error).__name__, str(error)) from error
            self._token = (time.monotonic(), token)
        return {"Authorization": token} if token else {}

    def _read_token(self) -> str:
        # Releases of the client after 36.0 keep it under the first name, earlier ones under the
        # second.
        read = self._configuration.get_api_key_with_prefix
        return str(read("BearerToken", "authorization") or "")


def _way(configuration: Any) -> dict[str, Any]:
    """How a request goes there: by which proxy, and asking for whose certificate."""
    way: dict[str, Any] = {}
    if configuration.tls_server_name:
        way["server_hostname"] = configuration.tls_server_name
    passed = configuration.no_proxy or ""
    if configuration.proxy and not should_bypass_proxies(configuration.host, passed):
        way["proxy"] = configuration.proxy
    return way


def _tls(configuration: Any, with_certificate: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if not configuration.verify_ssl:  # as the kubeconfig asks
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if with_certificate and configuration.cert_file:
        context.load_cert_chain(Path(configuration.cert_file), configuration.key_file)
    return context


def _parsed(content: bytes) -> Document:
    try:
        found = orjson.loads(content) if content else {}
    except orjson.JSONDecodeError:
        found = None
    return found if isinstance(found, dict) else {"message": content[:200].decode(errors="replace")}


def _error(status: int, body: Document) -> KubeError:
    return KubeError(status, str(body.get("reason") or ""), str(body.get("message") or ""))
