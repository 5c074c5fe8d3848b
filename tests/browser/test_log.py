"""The log: it follows, is searched, jumps to errors, and takes what it says for text alone."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.browser import shown
from tests.browser.conftest import Opened
from tests.support.recorded import SPEC, recorded

LENGTHY = f"/team-a/lengthy/{shown.LENGTHY}"
NIGHT = f"/team-a/cells/{shown.NIGHT}"
HARSH = f"/team-a/harsh/{quote(shown.HARSH, safe='')}"
PIECES = "async ([name, text]) => (await import('/static/parts/ansi.mjs'))[name](text)"
ROWS = """async count => {
  const { rows } = await import("/static/parts/logrows.mjs");
  const box = document.createElement("div");
  box.className = "log-box";
  document.querySelector("main").replaceChildren(box);
  window.list = rows(box, { fill: (node, number) => { node.textContent = `row ${number}`; },
    onSeen() {}, onScroll() {} });
  window.list.resize(count);
}"""
SEEN = """() => {
  const box = document.querySelector(".log-box").getBoundingClientRect();
  return [...document.querySelectorAll(".log-row")].filter(row => {
    const at = row.getBoundingClientRect();
    return at.top >= box.top - 1 && at.bottom <= box.bottom + 1;
  }).map(row => Number(row.textContent.slice(4)));
}"""


def current(page: Page) -> str:
    """The chosen line's number."""
    return page.locator(".log-row[aria-selected] .log-number").inner_text()


def test_of_200_000_lines_those_are_in_the_document_that_are_seen(opened: Opened) -> None:
    page = opened(LENGTHY)
    expect(page.locator(".log")).to_contain_text("200\u202f000 lines")
    expect(page.locator(".log-box")).to_contain_text(f"INFO line {shown.LINES - 1}")
    for part in (0.0, 0.31, 0.77, 1.0):
        page.evaluate(
            "part => { const box = document.querySelector('.log-box');"
            "box.scrollTop = part * (box.scrollHeight - box.clientHeight); }",
            part,
        )
        number = round(part * (shown.LINES - 30)) + 15
        expect(page.locator(".log-box")).to_contain_text(f"INFO line {number}\n")
        assert page.locator(".log-row").count() < 150


def test_errors_are_gone_through_by_keys_and_the_address_keeps_the_line(opened: Opened) -> None:
    page = opened(LENGTHY)
    expect(page.locator(".log-box")).to_contain_text(f"INFO line {shown.LINES - 1}")
    for key, line in (("e", 90_001), ("n", 150_001), ("n", 90_001), ("Shift+N", 150_001)):
        page.keyboard.press(key)
        expect(page.locator(".log-row[aria-selected]")).to_contain_text(f"line {line - 1} failed")
        assert page.url.endswith(f"?line={line}")
    page.reload()
    expect(page.locator(".log-row[aria-selected]")).to_contain_text("line 150000 failed")


def test_what_is_searched_for_is_found_wherever_it_is_and_marked(opened: Opened) -> None:
    page = opened(LENGTHY)
    search = page.get_by_role("searchbox", name="Search the log")
    search.fill("LINE 12345")  # whatever the case
    expect(page.locator(".log-row[aria-selected]")).to_contain_text("line 12345")
    expect(page.locator(".log-row[aria-selected] mark")).to_have_text("line 12345")
    expect(page.locator(".log-state")).to_have_text("1 of 11")
    search.press("Enter")
    expect(page.locator(".log-row[aria-selected]")).to_contain_text("line 123450")
    search.press("Shift+Enter")
    search.press("Shift+Enter")
    expect(page.locator(".log-row[aria-selected]")).to_contain_text("line 123459")
    search.fill("nowhere in it")
    expect(page.locator(".log-state")).to_have_text("not found")
    assert current(page) == "123460"


def test_keys_go_through_lines_and_end_follows(opened: Opened) -> None:
    page = opened(LENGTHY)
    expect(page.locator(".log-box")).to_contain_text(f"INFO line {shown.LINES - 1}")
    page.keyboard.press("l")
    expect(page.locator(".log-box")).to_be_focused()
    follow = page.get_by_role("button", name="Follow")
    expect(follow).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Home")
    expect(page.locator(".log-row[aria-selected]")).to_contain_text("INFO line 0")
    expect(follow).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("ArrowDown")
    assert current(page) == "2"
    chosen = page.locator(".log-box").get_attribute("aria-activedescendant")
    assert page.locator(f"#{chosen}").get_attribute("aria-selected") == "true"
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("INFO line 1")
    page.keyboard.press("Escape")
    expect(page.locator(".log-box")).to_be_focused()
    page.keyboard.press("End")
    expect(follow).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".log-box")).to_contain_text(f"INFO line {shown.LINES - 1}")


def test_a_log_is_followed_while_it_is_written_unless_one_reads_elsewhere(
    opened: Opened, folder: Path
) -> None:
    job = recorded(folder, "followed", project="living")
    job.job({**SPEC, "project": "living"})
    job.log(1, 0, "".join(f"line {number}\n" for number in range(100)))
    page = opened(f"/team-a/living/{job.ref.folder}")
    expect(page.locator(".log-box")).to_contain_text("line 99")
    job.log(1, 1, "a line that is new\nand one that is not en")
    expect(page.locator(".log-box")).to_contain_text("a line that is new")
    job.log(1, 2, "ded yet\n")
    expect(page.locator(".log-box")).to_contain_text("and one that is not ended yet")
    page.locator(".log-box").press("Home")
    expect(page.locator(".log-row[aria-selected]")).to_contain_text("line 0")
    job.log(1, 3, "another\n")
    expect(page.locator(".log")).to_contain_text("103 lines")
    assert page.locator(".log-box").evaluate("box => box.scrollTop") == 0


def test_the_address_of_a_moment_shows_what_was_written_then(opened: Opened) -> None:
    clock = shown.BEGIN.timestamp() + 12_345.0
    page = opened(f"{LENGTHY}?at={clock:.0f}")
    # Of the moments of a log those are known that lie two seconds apart.
    row = page.locator(".log-row[aria-selected]")
    expect(row).to_contain_text(shown.spelled(12_344))


def test_a_click_on_a_curve_shows_what_was_written_then(opened: Opened) -> None:
    page = opened(f"/team-a/cells/{shown.NIGHT}")
    chart = page.get_by_role("application", name="train/loss")
    page.locator("#curves").get_by_text("train/loss", exact=True).scroll_into_view_if_needed()
    expect(chart.locator("canvas").first).to_be_visible()
    over = chart.locator(".u-over")
    box = over.bounding_box()
    assert box is not None
    over.click(position={"x": box["width"] / 2, "y": box["height"] - 10})
    said = page.locator(".log-row[aria-selected]")
    expect(said).to_contain_text(re.compile(r"step (4|5)\d "))
    assert "at=" in page.url


def test_attempts_follow_each_other_in_their_colours_and_what_was_written_over_is_folded(
    opened: Opened,
) -> None:
    page = opened(f"{NIGHT}?line=1")
    expect(page.locator(".log-row .ink-3").first).to_have_text("slow store")
    page.locator(".log-box").press("e")
    expect(page.locator(".log-row .ink-1.bold")).to_have_text("RuntimeError")
    assert "\x1b" not in page.locator(".log-box").inner_text()
    row = page.locator(".log-row", has_text="fetched 100 %")
    expect(row).not_to_contain_text("60 %")
    row.get_by_role("button", name="2 folded").click()
    expect(page.get_by_role("dialog")).to_contain_text("fetched 60 %")
    page.keyboard.press("Escape")
    expect(page.locator(".log-row", has_text="attempt 2 begins").locator(".tag")).to_have_text(
        "attempt 2"
    )


def test_a_line_of_10_mb_is_cut_and_more_of_it_is_shown_when_asked_for(opened: Opened) -> None:
    page = opened(HARSH)
    row = page.locator(".log-row", has_text="xxxxxxxx")
    row.get_by_role("button", name="9.5 MiB: show all").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("status")).to_have_text("64.0 KiB of 9.5 MiB are shown.")
    dialog.get_by_role("button", name="Show more").click()
    expect(dialog.get_by_role("status")).to_have_text("128 KiB of 9.5 MiB are shown.")
    assert len(dialog.locator("pre").inner_text()) == 128 * 1024
    assert len(row.inner_text()) < 3000


def test_all_of_a_log_can_be_had_as_a_file(opened: Opened, folder: Path) -> None:
    page = opened(NIGHT)
    with page.expect_download() as download:
        page.locator(".log").get_by_role("link", name="Download").click()
    job = recorded(folder, "night")
    written = b"".join((folder / job.paths.log(number, 0)).read_bytes() for number in (1, 2))
    assert Path(download.value.path()).read_bytes() == written


@pytest.fixture
def module(opened: Opened) -> Page:
    """A page of the site, to call its modules from."""
    return opened("/")


def test_of_the_orders_to_a_terminal_colours_count_and_all_others_are_left_out(
    module: Page,
) -> None:
    def pieces(text: str) -> list[tuple[str, str]]:
        found = module.evaluate(PIECES, ["pieces", text])
        return [(each["text"], each["classes"]) for each in found]

    assert pieces("a\x1b[1;31mb\x1b[mc") == [("a", ""), ("b", "ink-1 bold"), ("c", "")]
    assert pieces("\x1b[91ma\x1b[39mb\x1b[38;5;46mc") == [("a", "ink-1"), ("b", ""), ("c", "ink-2")]
    assert pieces("\x1b[38;2;0;0;255ma\x1b[31;44mb") == [("a", "ink-4"), ("b", "on-4")]
    assert pieces("\x1b[38:2:255:255:0ma\x1b[0;2mb") == [("a", "ink-3"), ("b", "dim")]
    assert pieces("\x1b[7ma\x1b[27;4mb") == [("a", "on-inverse"), ("b", "under")]
    for order in (
        "\x1b[2K",
        "\x1b[1;1H",
        "\x1b]0;title\x07",
        "\x1b]8;;http://x\x1b\\",
        "\x1b(B",
    ):
        assert pieces(f"a{order}b") == [("ab", "")], order
    assert pieces("a\x1b]0;endless") == [("a", "")]
    assert pieces("a\x00\x07b\x7f") == [("a\\x00\\x07b\\x7f", "")]


def test_of_what_goes_back_to_the_beginning_of_a_line_the_last_is_left(module: Page) -> None:
    def folded(text: str) -> tuple[str, int]:
        found = module.evaluate(PIECES, ["folded", text])
        return found["text"], found["folded"]

    assert folded("plain") == ("plain", 0)
    assert folded("windows\r") == ("windows", 0)
    assert folded("10 %\r20 %\r30 %") == ("30 %", 2)
    assert folded("10 %\r\x1b[32m20 %\r30 %") == ("\x1b[32m30 %", 2)
    assert folded("") == ("", 0)


def test_of_more_lines_than_a_browser_takes_pixels_each_can_be_gone_to(opened: Opened) -> None:
    page = opened(NIGHT)
    expect(page.locator(".log-row").first).to_be_visible()  # with its style
    count = 10_000_000
    page.evaluate(ROWS, count)
    for number in (0, 1, 4_999_999, 8_765_432, count - 2, count - 1):
        page.evaluate("number => window.list.show(number, true)", number)
        assert number in page.evaluate(SEEN), number
        page.evaluate("number => window.list.show(Math.max(number - 1, 0), false)", number)
        assert max(number - 1, 0) in page.evaluate(SEEN), number
    page.evaluate("() => window.list.toEnd()")
    expect(page.locator(".log-row").last).to_have_text(f"row {count - 1}")
    assert count - 1 in page.evaluate(SEEN)
