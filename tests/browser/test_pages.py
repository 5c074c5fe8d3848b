"""What holds for every page: for everybody who looks at it, and whatever a record holds."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, quote, urljoin, urlsplit

import pytest
from playwright.sync_api import Page, expect

from sihl_dashboard.server.ahead import first_curves
from tests.browser import shown
from tests.browser.axe import faults
from tests.browser.conftest import PATIENCE, Opened
from tests.support.recorded import SPEC, recorded, train, validation

HARSH = quote(shown.HARSH, safe="")


def is_whole(page: Page, part: str, text: str) -> None:
    """Waits for a part's text, and for the pictures: they are a page's last, and load late."""
    expect(page.locator(part)).to_contain_text(text)
    if not page.locator("#pictures").is_visible():
        return  # a phone shows one section of a comparison at a time
    page.locator("#pictures").scroll_into_view_if_needed()
    expect(page.locator("#pictures img").first).to_be_visible()
    page.evaluate("() => scrollTo(0, 0)")


PAGES: dict[str, tuple[str, Callable[[Page], None]]] = {
    "overview": ("/", lambda page: expect(page.locator("main")).to_contain_text("cells")),
    "compare": (
        f"/team-a/cells?jobs={shown.NIGHT},{shown.DAY}",
        lambda page: is_whole(page, "#differences", "learningRate"),
    ),
    "job": (
        f"/team-a/cells/{shown.NIGHT}",
        lambda page: is_whole(page, ".log-box", "step 100"),
    ),
}
"""By name: the address, and what is seen once it is there."""
LOOKS: dict[str, dict[str, object]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}
STOPS = """() => [...document.querySelectorAll(
  "a[href], button, input, select, textarea, summary, [tabindex='0']")].filter(each =>
  each.checkVisibility({visibilityProperty: true}) && !each.disabled && each.tabIndex >= 0
  && each.type !== "radio")"""
ARRIVED = """() => {
  const at = document.activeElement, style = getComputedStyle(at);
  (window.reached ??= new Set()).add(at);
  const isSeen = style.outlineStyle !== "none" || style.boxShadow !== "none";
  return at === document.body ? "" : isSeen ? "seen" : at.outerHTML.slice(0, 200);
}"""
MISSED = f"""() => ({STOPS})().filter(each => !window.reached.has(each))
  .map(each => each.outerHTML.slice(0, 200))"""


def arrive(opened: Opened, name: str, **look: object) -> Page:
    path, is_there = PAGES[name]
    page = opened(path, **look)
    is_there(page)
    return page


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", PAGES)
def test_nobody_is_shut_out_of_a_page(opened: Opened, name: str, look: str) -> None:
    page = arrive(opened, name, **LOOKS[look])
    found = faults(page)
    assert not found, "\n".join(found)
    wide = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, "the page itself scrolls sideways"


@pytest.mark.parametrize("name", PAGES)
def test_all_that_can_be_used_is_reached_by_the_keyboard_and_shows_that_it_is(
    opened: Opened, name: str
) -> None:
    page = arrive(opened, name)

    def walk() -> list[str]:
        """What a walk through the whole page has not reached."""
        page.locator("body").focus()
        for _ in range(3 * page.evaluate(f"() => ({STOPS})().length") + 20):
            page.keyboard.press("Tab")
            seen = page.evaluate(ARRIVED)
            assert seen in ("", "seen"), f"nothing shows that this has the focus: {seen}"
            if not seen:
                break
        missed: list[str] = page.evaluate(MISSED)
        return missed

    end = time.monotonic() + PATIENCE / 1000
    while missed := walk():  # what comes meanwhile is reached the next time
        assert time.monotonic() < end, missed


@pytest.mark.parametrize(
    "path", ["/", "/team-a/harsh", f"/team-a/harsh?jobs={HARSH}", f"/team-a/harsh/{HARSH}"]
)
def test_what_a_record_says_is_shown_and_runs_nothing(opened: Opened, path: str) -> None:
    page = opened(path)
    is_job = path.endswith(f"/{HARSH}")
    expect(page.locator("main")).to_contain_text("harsh" if path == "/" else "<img src=x")
    if is_job:
        expect(page.locator(".log-box")).to_contain_text(f"INFO {shown.SCRIPT[:40]}")
        expect(page.locator(".log-box")).to_contain_text("the clock was set back")
        page.locator("#pictures").scroll_into_view_if_needed()
        expect(page.locator("#pictures")).to_contain_text("This picture cannot be shown.")
    assert page.title() != "PWNED"
    assert page.locator("main img[src='x'], main script").count() == 0


@pytest.mark.parametrize("name", ["compare", "job"])
def test_the_first_curves_are_asked_for_as_they_were_drawn_ahead(opened: Opened, name: str) -> None:
    sent: list[str] = []
    page = arrive(
        opened, name, before=lambda page: page.on("request", lambda r: sent.append(r.url))
    )
    expect(page.locator(".chart-told").first).not_to_be_empty()
    metrics = next(urlsplit(url) for url in sent if "/metrics?" in url)
    curves = next(urlsplit(url) for url in sent if "/curves?" in url)
    names = page.request.get(metrics.geturl()).json()
    drawn = first_curves(dict(parse_qsl(metrics.query))["jobs"], names)
    assert dict(parse_qsl(curves.query)) == drawn


@pytest.mark.parametrize("name", ["compare", "job"])
def test_what_was_asked_for_with_a_page_the_page_does_not_ask_for_again(
    opened: Opened, name: str
) -> None:
    sent: list[str] = []

    def before(page: Page) -> None:
        page.on("request", lambda request: sent.append(request.url))
        page.add_init_script(
            "const ask = fetch; window.wanted = [];"
            "window.fetch = (url, ...rest) => { wanted.push(url); return ask(url, ...rest); };"
        )

    page = arrive(opened, name, before=before)
    answer = page.request.get(page.url)
    first = re.findall("<([^>]+)>", answer.headers["link"])
    assert len(first) == 3
    for address in first:
        times = sent.count(urljoin(page.url, address))
        assert 1 <= times <= page.evaluate("url => wanted.filter(e => e === url).length", address)


def test_points_that_a_job_makes_appear_while_one_looks(opened: Opened, folder: Path) -> None:
    job = recorded(folder, "pointed", project="living")
    job.job({**SPEC, "project": "living"})
    job.metrics(1, 0, train(1, 1.0, shown.spelled(1)))
    page = opened(f"/team-a/living/{job.ref.folder}")
    curves = page.locator("#curves")
    expect(curves).to_contain_text("1 point in 1 bucket")
    job.metrics(1, 1, train(2, 0.5, shown.spelled(2)), validation(2, 0.5, shown.spelled(2)))
    # The promise is 10 s; what is beside the tests on a machine may take as long again.
    expect(curves).to_contain_text("2 points", timeout=20_000)
    expect(curves).to_contain_text("boxes/map", timeout=20_000)


def test_a_job_that_does_not_exist_is_said_not_to(opened: Opened, expected: set[str]) -> None:
    expected.add("404")
    page = opened("/team-a/cells/nobody.01234567")
    expect(page.get_by_role("alert")).to_contain_text("No such job")
    expect(page.locator(".log-box")).not_to_be_visible()


def test_an_address_of_no_page_is_said_to_be_that(opened: Opened, expected: set[str]) -> None:
    expected.add("404")
    page = opened("/team-a")
    expect(page.get_by_role("alert")).to_contain_text("There is no such page")
    assert not faults(page)


def test_jobs_of_one_name_are_told_apart_and_of_one_job_alone_nothing_is_said_to_differ(
    opened: Opened,
) -> None:
    page = opened("/")
    named = [f"{shown.SAME}.0000000a", f"{shown.SAME}.0000000b"]
    expect(page.locator(".job .name").filter(has_text=shown.SAME)).to_have_text(named[::-1])
    page.goto(page.url + "team-a/odd?sort=name")
    names = page.locator(".jobs-table tbody th")
    expect(names).to_have_text(named)
    expect(page.locator("#differences")).to_contain_text("they share no metric of validation")
    expect(page.locator(".chart-title").first).to_be_visible()
    wide = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, "the page itself scrolls sideways"
    page.get_by_role("checkbox", name=f"Choose {named[0]}").uncheck()
    expect(page.locator("#differences")).to_contain_text("Choose another job in the table")


def test_a_record_that_lacks_parts_says_so_and_leads_nowhere_else(opened: Opened) -> None:
    page = opened(f"/team-a/odd/{shown.SAME}.0000000a")
    expect(page.locator("#spec")).to_contain_text("The record does not tell what ran.")
    expect(page.locator("#model")).to_contain_text("It has none: it is written when the job succ")
    contents = page.get_by_role("navigation", name="Sections").get_by_role("link")
    expect(contents).to_have_text(
        [
            "Curves",
            "Log",
            "Pictures of validation",
            "Settings as run",
            "Model",
            "Compare with others",
        ]
    )
    assert not faults(page)
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("() => document.documentElement.scrollWidth <= innerWidth")
    page.goto(page.url.replace("0000000a", "0000000b"))
    expect(page.locator("#model")).to_contain_text("the store does not have it any more")
