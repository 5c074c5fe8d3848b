"""Who is not known to a cluster's dashboard logs in."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.axe import faults
from tests.browser.conftest import Opened

REFUSED = {"code": "log-in", "message": "nobody is logged in", "remedy": "log in"}


@pytest.fixture
def page(opened: Opened, expected: set[str]) -> Page:
    """The form. That one logs in by a token is the cluster's answer, here given in its place."""
    expected.add("401")

    def refuse(route: Route) -> None:
        route.fulfill(
            status=401, content_type="application/json", body=json.dumps({"error": REFUSED})
        )

    def before(page: Page) -> None:
        page.route("**/api/v1/me", refuse)

    return opened("/team-a/cells?q=night", before, color_scheme="dark")


def test_who_is_not_known_logs_in_and_comes_back_to_where_they_wanted(page: Page) -> None:
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert "next=%2Fteam-a%2Fcells%3Fq%3Dnight" in page.url
    token = page.get_by_label("Token")
    expect(token).to_be_focused()
    expect(token).to_have_attribute("type", "password")
    assert not faults(page)
    page.set_viewport_size({"width": 390, "height": 844})
    assert not faults(page)


@pytest.mark.parametrize("status", [302, 401])  # a proxy sends to its login, or only says no
def test_a_proxy_s_session_that_has_ended_leads_to_its_login(
    opened: Opened, expected: set[str], status: int
) -> None:
    expected |= {"401", "404", "EventSource"}  # of what is asked for meanwhile
    page = opened("/team-a/cells")
    expect(page.get_by_role("heading", name="cells")).to_be_visible()

    def ended(route: Route) -> None:
        if route.request.resource_type == "document":
            route.fulfill(body="The provider's login")
        elif "/api/" not in route.request.url:
            route.continue_()
        else:
            route.fulfill(status=status, headers={"Location": "/oauth2/start"})

    page.route("**/*", ended)
    page.keyboard.press("g")
    page.keyboard.press("o")
    expect(page.get_by_text("The provider's login")).to_be_visible()


@pytest.mark.parametrize("csrf", ["0" * 64, None])  # None: a proxy's header brought the token
def test_who_logged_in_here_logs_out_here_and_nobody_else(
    opened: Opened, expected: set[str], csrf: str | None
) -> None:
    expected |= {"401", "EventSource"}  # of the page that is left
    me = {"user": "anna", "mode": "token", "cluster": False, "canAct": False, "csrf": csrf}
    known = [True]

    def answer(route: Route) -> None:
        if known[0]:
            route.fulfill(json=me)
        else:
            route.fulfill(status=401, json={"error": REFUSED})

    def logout(route: Route) -> None:
        known[0] = False
        route.fulfill(json={})

    def before(page: Page) -> None:
        page.route("**/api/v1/me", answer)
        page.route("**/api/v1/logout", logout)

    page = opened("/", before)
    expect(page.locator(".who")).to_have_text("anna")
    button = page.get_by_role("button", name="Log out")
    if csrf is None:
        expect(button).to_have_count(0)
        return
    button.click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
