"""Behind an identity provider: a real oauth2-proxy, as docs/dashboard.md says to set it up."""

from __future__ import annotations

import asyncio
import secrets
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from playwright.sync_api import Browser, Page, expect

from local_cluster.control_plane import free_port
from local_cluster.programs import program
from sihl_dashboard.records import FolderPlace
from sihl_dashboard.server import assets
from sihl_dashboard.server.access import Owner
from sihl_dashboard.server.app import application
from sihl_dashboard.server.logins import ProxyPeople
from sihl_dashboard.server.state import STATE, State
from sihl_dashboard.server.stores import OneStore
from tests.browser.conftest import PATIENCE
from tests.browser.programs import OAUTH2_PROXY
from tests.support.oidc import CLIENT, SECRET, Provider, provided
from tests.support.waiting import eventually

ANNA = "anna@example.com"
GUIDE = Path(__file__).parents[2] / "docs" / "dashboard.md"
TOKENS = "--pass-authorization-header=true"


def of_the_guide(what: str) -> dict[str, Any]:
    """The YAML block of the guide that has this key."""
    blocks = GUIDE.read_text().split("```yaml\n")[1:]
    found = (yaml.safe_load(block.partition("```")[0]) for block in blocks)
    return next(block for block in found if what in block)


@contextmanager
def served(app: web.Application) -> Iterator[str]:
    """An application in a thread, at a loopback port."""
    loop, ended, told = asyncio.new_event_loop(), asyncio.Event(), list[str]()

    async def run() -> None:
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port := free_port())
        await site.start()
        told.append(f"http://127.0.0.1:{port}")
        await ended.wait()
        if STATE in app:
            app[STATE].is_closing = True
            await app[STATE].hub.close()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    try:
        eventually(lambda: told)
        yield told[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()


@contextmanager
def proxied(tmp_path: Path, provider: Provider, upstream: str, with_tokens: bool) -> Iterator[str]:
    """The guide's proxy, with what is said there to be put in; its address."""
    (tmp_path / "client").write_text(SECRET)
    (tmp_path / "cookie").write_text(secrets.token_hex(16))
    port = free_port()
    put_in = {
        "--oidc-issuer-url": provider.issuer,
        "--client-id": CLIENT,
        "--client-secret-file": str(tmp_path / "client"),
        "--cookie-secret-file": str(tmp_path / "cookie"),
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
    # Of this test alone: a browser reaches it without TLS, and under another name.
    words += ["--cookie-secure=false", f"--redirect-url=http://127.0.0.1:{port}/oauth2/callback"]
    process = subprocess.Popen(
        [program("oauth2-proxy", [OAUTH2_PROXY]), *words],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        eventually(lambda: listens(port, process))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Whether the proxy can be reached."""
    assert process.poll() is None, "it has ended"
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def provider() -> Iterator[Provider]:
    """Who comes is Anna, of the group vision."""
    with provided(email=ANNA, email_verified=True, groups=["vision"]) as found:
        yield found


def log_in(browser: Browser, address: str, path: str) -> Page:
    """A page that the proxy sends to the provider first."""
    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{address}{path}")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{address}{path}")
    return page


def test_who_the_proxy_says_comes_is_who_looks_and_whatever_a_browser_says_is_not(
    browser: Browser, folder: Path, tmp_path: Path, provider: Provider
) -> None:
    headers = of_the_guide("dashboard")["dashboard"]["proxy"]
    people = ProxyPeople(headers["userHeader"], headers["groupsHeader"])
    state = State(OneStore(FolderPlace(folder)), people, Owner())
    app = application(state, assets.fetch(assets.default_folder()))
    with served(app) as upstream, proxied(tmp_path, provider, upstream, False) as address:
        page = log_in(browser, address, "/team-a/cells")
        expect(page.locator(".jobs-table tbody th")).to_have_count(3)
        expect(page.locator(".who")).to_have_text(ANNA)
        expect(page.locator(".liveness")).to_have_text("Live")
        forged = {headers["userHeader"]: "root@example.com", headers["groupsHeader"]: "admins"}
        me = page.request.get(f"{address}/api/v1/me", headers=forged).json()
        assert (me["user"], me["mode"]) == (ANNA, "proxy")
        page.context.clear_cookies()
        assert page.request.get(f"{address}/api/v1/me", headers=forged).status == 401
        page.context.close()


def test_a_person_s_own_token_reaches_the_dashboard(
    browser: Browser, tmp_path: Path, provider: Provider
) -> None:
    async def told(request: web.Request) -> web.Response:
        return web.json_response({"token": request.headers.get("Authorization")})

    app = web.Application()
    app.router.add_get("/{path:.*}", told)
    with served(app) as upstream, proxied(tmp_path, provider, upstream, True) as address:
        page = log_in(browser, address, "/")
        found = page.request.get(f"{address}/", headers={"Authorization": "Bearer x"}).json()
        assert found["token"] == f"Bearer {provider.tokens[-1]}"
        page.context.close()
