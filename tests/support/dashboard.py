"""The dashboard's server on a loopback port, and somebody who looks at it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from sihl_dashboard.records import FolderPlace, Place
from sihl_dashboard.server.access import Owner
from sihl_dashboard.server.app import Served, serving
from sihl_dashboard.server.local import LocalPeople
from sihl_dashboard.server.routes import ROUTES
from sihl_dashboard.server.state import State
from sihl_dashboard.server.stores import OneStore

API = "/api/v1"
PROJECT = f"{API}/namespaces/team-a/projects/cells"


@dataclass(frozen=True)
class Looker:
    """A browser, without its pages.

    Attributes:
        state: What the server's requests share.
        session: Keeps cookies.
    """

    served: Served
    state: State
    session: aiohttp.ClientSession

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """Status and JSON."""
        async with self.session.get(f"{self.served.url}{path}", headers=headers) as answer:
            body = await answer.read()
            is_json = "json" in answer.headers.get("Content-Type", "")
            return answer.status, json.loads(body) if is_json else body

    async def found(self, path: str) -> Any:
        """JSON of what must be there."""
        status, body = await self.get(path)
        assert status == 200, (path, status, body)
        return body

    async def events(self, query: str, last: str = "") -> AsyncIterator[Event]:
        """Events of a stream as they come."""
        headers = {"Last-Event-ID": last} if last else {}
        url = f"{self.served.url}{API}/stream?{query}"
        timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
        async with self.session.get(url, headers=headers, timeout=timeout) as answer:
            assert answer.status == 200, (answer.status, await answer.text())
            fields: dict[str, str] = {}
            async for raw in answer.content:
                name, _, value = raw.decode().rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                elif "event" in fields:
                    yield Event(fields["event"], fields.get("id", ""), json.loads(fields["data"]))
                    fields = {}


@dataclass(frozen=True)
class Event:
    """One event of a stream."""

    kind: str
    id: str
    data: dict[str, Any]


def state_over(place: Place | Path) -> State:
    """Of the dashboard on one's own machine."""
    found = FolderPlace(place) if isinstance(place, Path) else place
    return State(OneStore(found), LocalPeople(), Owner())


@asynccontextmanager
async def looking(state: State, assets: Path = Path("/nonexistent")) -> AsyncIterator[Looker]:
    """A server over a state, and a browser that it let in where it is one's own."""
    async with serving(state, assets) as served, a_browser() as session:
        if isinstance(state.people, LocalPeople):
            async with session.get(served.opening, allow_redirects=False) as answer:
                assert answer.status == 303
        yield Looker(served, state, session)


@asynccontextmanager
async def a_browser(**headers: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Keeps cookies, also of an address that is a number."""
    async with aiohttp.ClientSession(
        cookie_jar=aiohttp.CookieJar(unsafe=True), headers=headers
    ) as session:
        yield session


async def until(events: AsyncIterator[Event], kind: str, seconds: float = 60) -> Event:
    """The next event of a kind."""

    async def first() -> Event:
        async for event in events:
            if event.kind == kind:
                return event
        raise AssertionError(f"the stream ended without an event {kind}")

    return await asyncio.wait_for(first(), seconds)


async def send_malformed(served: Served, header: str, value: str) -> None:
    """A thousand requests that nobody should send, from somebody who is let in by that header."""
    rng = random.Random(13)
    host, port = served.url.removeprefix("http://").split(":")

    async def send(data: bytes) -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(data)
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 60)
        except ConnectionError:
            pass  # it may hang up
        finally:
            writer.close()

    for _ in range(100):
        await asyncio.gather(*(send(malformed(rng, f"{header}: {value}")) for _ in range(10)))


def malformed(rng: random.Random, let_in: str) -> bytes:
    """A request that nobody should send: noise, or a real one with something wrong in it."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randbytes(rng.randrange(400))
    route = rng.choice([route for route in ROUTES if "stream" not in route.path])
    words = [
        "..",
        "%00",
        "%ff%fe",
        "a" * 3000,
        "-1",
        "1e400",
        "{}",
        "\u202e",
        "'--",
        "night.01234567",
    ]
    parts = [rng.choice(words) if "{" in part else part for part in route.path.split("/")]
    names = ["jobs", "where", "columns", "sort", "limit", "from", "line", "at", "count", "set", "q",
             "buckets", "first", "last", "step", "attempt", "smoothing"]  # fmt: skip
    query = "&".join(f"{rng.choice(names)}={rng.choice(words)}" for _ in range(rng.randrange(5)))
    method = rng.choice([route.method, "PUT", "OPTIONS", "TRACE", "\x00", "GET" * 50])
    head = f"{method} {'/'.join(parts)}?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n{let_in}\r\n"
    body = rng.randbytes(rng.randrange(100))
    ends = [
        "Content-Length: 5\r\n\r\n", "Content-Length: -1\r\n\r\n", "X: \x01\r\n\r\n", "\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "Connection: close\r\n\r\n", "Range: bytes=9-1",
        "Content-Length: 99999999999\r\nConnection: close\r\n\r\n",
    ]  # fmt: skip
    return (head + rng.choice(ends)).encode(errors="replace") + body
