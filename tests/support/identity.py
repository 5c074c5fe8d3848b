"""oauth2-proxy, and an API server's trust in a provider, as docs/dashboard.md sets them up."""

from __future__ import annotations

import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from local_cluster.control_plane import free_port
from local_cluster.programs import program
from tests.browser.programs import OAUTH2_PROXY
from tests.support.oidc import CLIENT, SECRET, Provider
from tests.support.waiting import eventually

GUIDE = Path(__file__).parents[2] / "docs" / "dashboard.md"
TOKENS = "--pass-authorization-header=true"


def of_the_guide(what: str) -> dict[str, Any]:
    """The YAML block of the guide that has this key."""
    blocks = GUIDE.read_text().split("```yaml\n")[1:]
    found = (yaml.safe_load(block.partition("```")[0]) for block in blocks)
    return next(block for block in found if what in block)


def trust(provider: Provider) -> str:
    """The guide's file for --authentication-config, with what is said there to be put in."""
    document = of_the_guide("jwt")
    issuer = document["jwt"][0]["issuer"]
    assert issuer["audiences"] == [CLIENT]
    issuer |= {"url": provider.issuer, "certificateAuthority": provider.authority.read_text()}
    return yaml.safe_dump(document)


@contextmanager
def proxied(folder: Path, provider: Provider, upstream: str, with_tokens: bool) -> Iterator[str]:
    """The guide's proxy, with what is said there to be put in; its address."""
    (folder / "client").write_text(SECRET)
    (folder / "cookie").write_text(secrets.token_hex(16))
    port = free_port()
    put_in = {
        "--oidc-issuer-url": provider.issuer,
        "--client-id": CLIENT,
        "--client-secret-file": str(folder / "client"),
        "--cookie-secret-file": str(folder / "cookie"),
        "--http-address": f"127.0.0.1:{port}",
        "--upstream": upstream,
    }
    words = [str(word) for word in of_the_guide("args")["args"]]
    names = {word.partition("=")[0] for word in words}
    assert put_in.keys() <= names
    words = [word for word in words if word.partition("=")[0] not in put_in]
    assert TOKENS in words
    if not with_tokens:
        words.remove(TOKENS)
    words += [f"{name}={value}" for name, value in put_in.items()]
    # Of the tests alone: a browser reaches it without TLS, and under another name; the provider's
    # certificate is of an authority of the test's own.
    words += ["--cookie-secure=false", f"--redirect-url=http://127.0.0.1:{port}/oauth2/callback",
              f"--provider-ca-file={provider.authority}"]  # fmt: skip
    process = subprocess.Popen(
        [program("oauth2-proxy", [OAUTH2_PROXY]), *words],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        eventually(lambda: _listens(port, process))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Whether the proxy can be reached."""
    assert process.poll() is None, "it has ended"
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
