"""A small OpenID Connect provider: whoever comes is one person, and never asked for a password."""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from local_cluster.pki import Pki
from tests.support.listening import listening

CLIENT, SECRET = "kubernetes", "secret-of-the-client"
KEY_ID = "1"


@dataclass
class Provider:
    """What it says of the person.

    Attributes:
        issuer: Its address.
        authority: Has signed its certificate.
        claims: Beside those that the protocol has.
        tokens: Identity tokens that it gave, by time.
    """

    issuer: str
    authority: Path
    claims: dict[str, Any]
    key: Path
    tokens: list[str] = field(default_factory=list)
    nonces: dict[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Where everything is."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def keys(self) -> dict[str, Any]:
        """Its public key."""
        told = _openssl("rsa", "-in", self.key, "-noout", "-modulus").decode().strip()
        modulus = bytes.fromhex(told.partition("=")[2])
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID,
               "n": _encoded(modulus), "e": _encoded(b"\x01\x00\x01")}  # fmt: skip
        return {"keys": [key]}

    def authorized(self, asked: dict[str, str]) -> str:
        """Where a browser goes on that wants to log in."""
        code = secrets.token_urlsafe(8)
        self.nonces[code] = asked.get("nonce", "")
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def token(self, code: str) -> dict[str, Any]:
        """What a code is exchanged for."""
        self.tokens.append(self.identity(nonce=self.nonces.pop(code)))
        return {"access_token": "opaque", "token_type": "Bearer", "expires_in": 3600,
                "id_token": self.tokens[-1]}  # fmt: skip

    def identity(self, **others: Any) -> str:
        """An identity token, with claims in place of what it would say."""
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "sub": "1", "iat": now, "exp": now + 3600,
                  **self.claims, **others}  # fmt: skip
        header = {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}
        text = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
        signature = _openssl("dgst", "-sha256", "-sign", self.key, "-binary", text=text.encode())
        return f"{text}.{_encoded(signature)}"


@contextmanager
def provided(folder: Path, **claims: Any) -> Iterator[Provider]:
    """A provider at a loopback port, by TLS, until the context ends; its keys lie in the folder."""
    key, pki = folder / "key.pem", Pki(folder)
    pki.create_ca()
    _openssl("genrsa", "-out", key, "2048")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*pki.issue("provider", "/CN=provider", ("127.0.0.1",)))
    # A handshake is its own thread's: one that does not come to an end holds up nobody else.
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    provider = Provider(f"https://127.0.0.1:{server.server_port}", pki.ca, claims, key)
    server.provider = provider  # type: ignore[attr-defined]
    with listening(server):
        yield provider


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        provider: Provider = self.server.provider  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        if parts.path == "/authorize":
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            self.send_response(302)
            self.send_header("Location", provider.authorized(asked))
            self.end_headers()
            return
        self._tell(provider.keys() if parts.path == "/keys" else provider.document())

    def do_POST(self) -> None:
        provider: Provider = self.server.provider  # type: ignore[attr-defined]
        length = int(self.headers["Content-Length"])
        self._tell(provider.token(parse_qs(self.rfile.read(length).decode())["code"][0]))

    def _tell(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def _openssl(*words: str | Path, text: bytes = b"") -> bytes:
    return subprocess.run(
        ["openssl", *words], input=text, capture_output=True, check=True
    ).stdout  # fmt: skip


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
