"""An agent as EKS Pod Identity runs one on each node, for tests: hands out a real store's keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.listening import listening
from tests.support.sts import Loan

PATH = "/v1/credentials"


@dataclass
class Agent:
    """What it hands out; may be changed at any time.

    Args:
        url: What the webhook writes into AWS_CONTAINER_CREDENTIALS_FULL_URI.
        lend: Gives the keys.
        seconds: How long they last.
        refusal: Status and text that it answers instead.
        asked: The tokens that were shown to it, in order.
    """

    url: str
    lend: Callable[[], Loan]
    seconds: float = 3600
    refusal: tuple[int, str] | None = None
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str, token: str) -> tuple[int, str]:
        """Status and body."""
        self.asked.append(token)
        if self.refusal:
            return self.refusal
        if path != PATH:
            return 404, "404 page not found"
        key, secret, session = self.lend()
        ends = datetime.now(UTC) + timedelta(seconds=self.seconds)
        keys = {"AccessKeyId": key, "SecretAccessKey": secret, "Token": session}
        # With nanoseconds, as Go writes times.
        ending = {"AccountId": "1", "Expiration": f"{ends:%Y-%m-%dT%H:%M:%S}.123456789Z"}
        return 200, json.dumps(keys | ending)


@contextmanager
def handing_out(lend: Callable[[], Loan]) -> Iterator[Agent]:
    """One that hands these out, until the context ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = agent.answer(self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    agent = Agent(f"http://127.0.0.1:{server.server_address[1]}{PATH}", lend)
    with listening(server):
        yield agent
