"""A security token service for tests: lends a real store's keys for a token, as AWS's answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from tests.support.listening import listening

Loan = tuple[str, str, str]
"""Access key, its secret, its session token."""
SUBJECT = "system:serviceaccount:vision:trainer"
ISSUER = "https://issuer.example.org"
_NAMESPACE = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"'


def token_of(subject: str = SUBJECT, number: int = 0) -> str:
    """A token as Kubernetes makes them out, signed by nobody."""
    claims = {"iss": ISSUER, "sub": subject, "aud": ["sts.amazonaws.com"], "jti": number}
    parts = [{"alg": "RS256"}, claims, {"signature": "of nobody"}]
    return ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts
    )


@dataclass
class Sts:
    """What it lends to whom; may be changed at any time.

    Args:
        endpoint: Its URL.
        lend: Gives keys for a role.
        trusts: Whether it takes a token.
        roles: Those that whom it trusts may be.
        seconds: How long keys last, by what it says.
        refusal: Code and message that it answers instead.
        page: What it answers instead, as something that is no such service.
        clock_off: How far its clock is from this machine's.
        asked: The forms that were sent, in order.
    """

    endpoint: str
    lend: Callable[[str], Loan]
    trusts: Callable[[str], bool]
    roles: tuple[str, ...]
    seconds: float = 3600
    refusal: tuple[int, str, str] | None = None
    page: str = ""
    clock_off: timedelta = timedelta(0)
    asked: list[dict[str, str]] = field(default_factory=list)

    def answer(self, form: dict[str, str], is_signed: bool) -> tuple[int, str]:
        """Status and body."""
        self.asked.append(form)
        if self.page:
            return 200, self.page
        if refusal := self.refusal or self._refusal(form, is_signed):
            status, code, message = refusal
            return status, (
                f"<ErrorResponse {_NAMESPACE}><Error><Type>Sender</Type><Code>{code}</Code>"
                f"<Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
            )
        key, secret, token = self.lend(form["RoleArn"])
        ends = datetime.now(UTC) + self.clock_off + timedelta(seconds=self.seconds)
        return 200, (
            f"<AssumeRoleWithWebIdentityResponse {_NAMESPACE}><AssumeRoleWithWebIdentityResult>"
            f"<Audience>sts.amazonaws.com</Audience><Credentials><AccessKeyId>{key}</AccessKeyId>"
            f"<SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{token}</SessionToken>"
            f"<Expiration>{ends:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>"
            f"<Provider>{ISSUER}</Provider></AssumeRoleWithWebIdentityResult>"
            "<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>"
            "</AssumeRoleWithWebIdentityResponse>"
        )

    def _refusal(self, form: dict[str, str], is_signed: bool) -> tuple[int, str, str] | None:
        if form.get("Action") != "AssumeRoleWithWebIdentity" or is_signed:
            return 400, "InvalidAction", f"Could not find operation {form.get('Action')}"
        if not self.trusts(form.get("WebIdentityToken", "")):
            return 400, "InvalidIdentityToken", "No OpenIDConnect provider found in your account"
        if form.get("RoleArn", "") not in self.roles:
            return 403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"
        return None


@contextmanager
def lending(
    lend: Callable[[str], Loan],
    *roles: str,
    trusts: Callable[[str], bool] = lambda token: token.count(".") == 2,
    host: str = "127.0.0.1",
) -> Iterator[Sts]:
    """One that lends these roles, until the context ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            status, text = sts.answer(form, "Authorization" in self.headers)
            data = text.encode()
            self.send_response_only(status)
            now = datetime.now(UTC) + sts.clock_off
            self.send_header("Date", format_datetime(now, usegmt=True))
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer((host, 0), Handler)
    sts = Sts(f"http://{host}:{server.server_address[1]}", lend, trusts, roles)
    with listening(server):
        yield sts
