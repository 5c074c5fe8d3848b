"""Behind an identity provider: a real oauth2-proxy, as docs/dashboard.md says to set it up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp import web
from playwright.sync_api import Browser, Page, expect

from local_cluster.control_plane import free_port
from sihl_dashboard.records import FolderPlace
from sihl_dashboard.server import assets
from sihl_dashboard.server.access import Owner
from sihl_dashboard.server.app import application
from sihl_dashboard.server.logins import ProxyPeople
from sihl_dashboard.server.state import STATE, State
from sihl_dashboard.server.stores import OneStore
from tests.browser.conftest import PATIENCE
from tests.support.identity import of_the_guide, proxied
from tests.support.oidc import Provider, provided
from tests.support.waiting import eventually

ANNA = "anna@example.com"


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


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    """Who comes is Anna, of the group vision."""
    with provided(
        tmp_path / "provider", email=ANNA, email_verified=True, groups=["vision"]
    ) as found:
        yield found


def log_in(browser: Browser, address: str, path: str) -> Page:
    """A page that the proxy sends to the provider first."""
    page = browser.new_context(ignore_https_errors=True).new_page()  # the provider's
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
