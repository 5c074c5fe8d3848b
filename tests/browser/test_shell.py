"""The frame that all pages share, the overview, and what a job's page tells besides its parts."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser import shown
from tests.browser.conftest import Opened
from tests.browser.site import Site

JOB = f"/team-a/cells/{shown.NIGHT}"
STRETCHES = """async ([job, now]) => {
  const { stretches } = await import("/static/parts/course.mjs");
  return stretches(job, now).map(({ kind, from, to, isOpen }) => [kind, from, to, isOpen]);
}"""
QUEUE = """async jobs => {
  const { queue } = await import("/static/parts/queue.mjs");
  const made = queue("team-a");
  made.node.id = "made";
  document.body.append(made.node);
  made.update({ name: "cells", jobs });
}"""
TIMELINE = """async job => {
  const { timeline } = await import("/static/parts/timeline.mjs");
  const section = document.body.appendChild(document.createElement("section"));
  const body = section.appendChild(document.createElement("div"));
  section.id = "made";
  timeline(body, { job });
}"""
ACTIONS = """async job => {
  const { actions } = await import("/static/parts/actions.mjs");
  const made = actions({ namespace: "team-a" }, { me: { canAct: true }, acted: () => {} });
  made.node.id = "made";
  document.body.append(made.node);
  made.update(job);
}"""
FORMATTED = """async ([name, given]) => {
  const format = await import("/static/format.mjs");
  return given.map(each => format[name](each));
}"""


def told(number: int, **times: Any) -> dict[str, Any]:
    """An attempt, times in seconds since the hour."""
    found = {f"{name}At": f"2026-01-02T03:{at // 60:02}:{at % 60:02}Z" for name, at in times.items()
             if isinstance(at, int)}  # fmt: skip
    return {"number": number, **found, "reason": times.get("reason")}


def stretches(page: Page, job: dict[str, Any], now: int) -> list[list[Any]]:
    """What it did when, in seconds since the hour."""
    hour = 1_767_322_800  # 2026-01-02T03:00:00Z
    found = page.evaluate(STRETCHES, [job, hour + now])
    return [[kind, begin - hour, end - hour, goes_on] for kind, begin, end, goes_on in found]


def live(name: str, phase: str, **more: Any) -> dict[str, Any]:
    """A job as the cluster tells it."""
    return {
        "name": name, "uid": f"{name}-12345678", "folder": None, "project": "cells", "phase": phase,
        "position": None, "reason": "", "message": "", "progress": None, "node": None,
        "suspend": False, "createdAt": "2026-01-02T03:00:00Z", **more,
    }  # fmt: skip


def test_without_a_cluster_the_overview_shows_each_projects_latest_jobs(opened: Opened) -> None:
    page = opened("/")
    row = page.locator(".job").filter(has_text="night")
    expect(row).to_contain_text("Succeeded")
    expect(row.get_by_role("link")).to_be_visible()
    page.keyboard.press("j")
    expect(page.locator(".job a:focus")).to_have_count(1)
    row.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("night")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


def test_the_address_holds_what_one_chose_and_goes_back_over_it(opened: Opened) -> None:
    page = opened(JOB)
    page.get_by_placeholder("Search settings").fill("batchsize")
    settings = page.locator(".settings tbody tr")
    expect(settings).to_have_count(1)
    page.get_by_role("button", name="Log of attempt 2").click()
    page.reload()
    expect(settings).to_have_count(1)
    assert "attempt=2" in page.url
    page.go_back()
    expect(page).not_to_have_url(page.url + "&attempt=2")
    expect(settings).to_have_count(1)


def test_attempts_are_told_on_the_axis_of_time_and_as_a_table(opened: Opened) -> None:
    page = opened(JOB)
    axis = page.locator("#time svg[role=img]")
    expect(axis).to_have_attribute("aria-label", re.compile("training .*, stopped "))
    expect(axis).to_contain_text("2, from step 40")
    rows = page.locator("#time tbody tr")
    expect(rows.nth(0)).to_contain_text("Stopped")
    expect(rows.nth(1)).to_contain_text("20 steps done again")


def test_conditions_stand_on_the_axis_and_say_since_when_and_why(opened: Opened) -> None:
    page = opened("/")
    saved = {
        "type": "CheckpointSaved", "status": "True", "reason": "Saved", "message": "Of step 40.",
        "lastTransitionTime": "2026-01-02T03:05:00Z",
    }  # fmt: skip
    before = {**saved, "type": "Accepted", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    job = {
        "attempts": [told(1, started=60, fetched=90, trained=100, ended=400, reason="Stopped")],
        "conditions": [saved, before],
        "document": {"createdAt": "2026-01-02T03:00:00Z"},
    }
    page.evaluate(TIMELINE, job)
    made = page.locator("#made")
    expect(made.locator(".mark title")).to_have_text([re.compile("CheckpointSaved yes: Saved")])
    expect(made.get_by_role("row").filter(has_text="CheckpointSaved")).to_contain_text(
        "Of step 40."
    )
    expect(made.get_by_role("row").filter(has_text="Accepted")).to_have_count(1)


def test_an_attempts_time_is_cut_where_something_else_began(opened: Opened) -> None:
    page = opened("/")
    stopped = told(
        1, started=60, fetched=90, trained=100, stopping=200, ended=210, reason="Stopped"
    )
    killed = told(2, started=300, fetched=310)
    job: dict[str, Any] = {
        "attempts": [stopped, killed, told(3, started=400, fetched=410, trained=420)],
        "document": {"createdAt": "2026-01-02T03:00:00Z"},
        "summary": {"updatedAt": "2026-01-02T03:09:00Z"},
        "live": {"phase": "Running"},
    }
    assert stretches(page, job, now=600) == [
        ["queued", 0, 60, False], ["fetching", 60, 90, False], ["preparing", 90, 100, False],
        ["training", 100, 200, False], ["stopping", 200, 210, False], ["stopped", 210, 300, False],
        ["fetching", 300, 310, False], ["preparing", 310, 400, False],
        ["fetching", 400, 410, False], ["preparing", 410, 420, False], ["training", 420, 600, True],
    ]  # fmt: skip
    unknown = {**job, "live": None, "attempts": job["attempts"][2:]}
    assert stretches(page, unknown, now=600)[-1] == ["training", 420, 540, False], (
        "of what nobody watches only what it told is known"
    )
    waits = {**job, "attempts": [stopped], "live": {"phase": "Queued", "message": "its turn"}}
    assert stretches(page, waits, now=600)[-1] == ["stopped", 210, 600, True]
    assert stretches(page, {"attempts": [told(1, started=5, ended=1)]}, now=9) == [
        ["fetching", 5, 5, False]
    ], "a clock that jumps back makes nothing shorter than nothing"


def test_a_queue_says_who_holds_it_and_who_waits_for_what(opened: Opened) -> None:
    page = opened("/")
    progress = {"step": 500, "maxSteps": 1000, "remaining": "1h2m"}
    holder = live("first", "Running", reason="Admitted", progress=progress, node="gpu-1")
    waiting = live("second", "Queued", position=1, reason="WaitingForGPUs", message="It wants 4.")
    page.evaluate(QUEUE, [holder, waiting, live("third", "Queued", suspend=True)])
    made = page.locator("#made")
    expect(made.get_by_role("heading")).to_contain_text("held, 1 waits")
    rows = made.get_by_role("listitem")
    expect(rows.nth(0)).to_contain_text("Running")
    expect(rows.nth(0)).to_contain_text("1 h 2 min left")
    expect(rows.nth(0).get_by_role("progressbar")).to_have_attribute("aria-valuenow", "50")
    expect(rows.nth(1)).to_contain_text("1.")
    expect(rows.nth(1)).to_contain_text("WaitingForGPUs: It wants 4.")
    expect(rows.nth(1).get_by_role("link")).to_have_attribute(
        "href", "/team-a/cells/second.second-1"
    )
    expect(rows.nth(2)).to_contain_text("Suspended")


def test_a_job_is_stopped_moved_in_its_queue_and_deleted_once_one_has_said_so_twice(
    opened: Opened,
) -> None:
    """What the buttons ask for; that it is done, and for whom, tests/apiserver shows."""
    page, asked = opened("/"), list[tuple[str, str, str | None]]()

    def answer(route: Route) -> None:
        request = route.request
        asked.append((request.method, request.url.rpartition("/api/v1/")[2], request.post_data))
        route.fulfill(json={})

    page.route("**/trainingjobs/*", answer)
    page.evaluate(ACTIONS, live("first", "Queued", priority=3))
    made, dialog = page.locator("#made"), page.get_by_role("dialog")
    address = "namespaces/team-a/trainingjobs/first"
    made.get_by_role("button", name="Stop").click()
    expect(made.get_by_role("button", name="Stop")).to_be_enabled()
    made.get_by_role("button", name="Priority").click()
    expect(dialog.get_by_label("Priority")).to_have_value("3")
    dialog.get_by_label("Priority").fill("7")
    dialog.get_by_role("button", name="Set").click()
    expect(made.get_by_role("button", name="Delete")).to_be_enabled()
    for answered in ("Cancel", "Delete"):
        made.get_by_role("button", name="Delete").click()
        expect(dialog).to_contain_text("Its record stays in the store")
        dialog.get_by_role("button", name=answered).click()
        expect(dialog).not_to_be_visible()
    expect(page.locator("#announcer")).to_contain_text("Deleted")
    assert asked == [
        ("PATCH", address, '{"suspend":true}'),
        ("PATCH", address, '{"priority":7}'),
        ("DELETE", address, None),
    ]


@pytest.mark.parametrize(
    ("name", "shown_as"),
    [
        ("duration", {0.34: "0.3 s", 45: "45 s", 125: "2 min 5 s", 3599: "59 min 59 s",
                      86_399: "1 d", 7_380: "2 h 3 min"}),
        ("number", {0.12345: "0.1235", 12_345: "12\u202f345", 0.00001234: "1.23e−5", -2: "−2"}),
        ("percent", {0.999: "99\u202f%", 1: "100\u202f%", 0.29: "29\u202f%"}),
        ("goSeconds", {"1h2m3s": 3723, "1m30.5s": 90.5, "soon": None}),
        ("clock", {"2026-01-02T03:00:00Z": 1_767_322_800, "never": None}),
        ("ago", {"never": "–"}),
    ],
)  # fmt: skip
def test_figures_are_spelled_as_people_read_them(
    opened: Opened, name: str, shown_as: dict[Any, Any]
) -> None:
    found = opened("/").evaluate(FORMATTED, [name, list(shown_as)])
    assert dict(zip(shown_as, found, strict=True)) == shown_as


def test_settings_say_which_equal_a_default_and_leave_those_out_if_asked(opened: Opened) -> None:
    page = opened(JOB)
    rows = page.locator(".settings tbody tr")
    chosen = rows.filter(has_text="training.maxSteps")
    expect(chosen).not_to_contain_text("default")
    expect(rows.filter(has_text="runner.retries")).to_contain_text("default")
    page.get_by_label("Chosen ones only").check()
    expect(rows.filter(has_text="default")).to_have_count(0)
    expect(chosen).to_have_count(1)


def test_shortcuts_are_listed_and_can_be_switched_off(opened: Opened) -> None:
    page = opened(JOB)
    expect(page.get_by_role("heading", level=1)).to_have_text("night")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_contain_text("Go to the overview")
    dialog.get_by_label("Shortcuts are on").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.type("go")
    page.get_by_role("button", name="Keyboard shortcuts").click()
    dialog.get_by_label("Shortcuts are on").check()
    page.keyboard.press("Escape")
    assert page.url.endswith(JOB), "it was switched off"
    page.keyboard.type("go")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


def test_a_lost_connection_is_said_and_comes_back_by_itself(
    opened: Opened, expected: set[str]
) -> None:
    expected.add("ERR_FAILED")
    page = opened("/")
    state = page.locator(".liveness")
    expect(state).to_have_text("Live")
    page.route("**/api/v1/stream*", lambda route: route.abort())
    page.locator(".job").filter(has_text="night").get_by_role("link").click()  # asks for another
    expect(state).to_contain_text("Not live")
    page.unroute("**/api/v1/stream*")
    expect(state).to_have_text("Live")


def test_a_hidden_tab_listens_to_nothing_until_it_is_seen_again(opened: Opened) -> None:
    hide = """isHidden => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => isHidden });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    ended: list[str] = []
    page = opened("/", lambda page: page.on("requestfailed", lambda r: ended.append(r.url)))
    state = page.locator(".liveness")
    expect(state).to_have_text("Live")
    page.evaluate(hide, True)
    expect(state).to_have_text("Resting")
    assert any("/stream" in url for url in ended)
    page.evaluate(hide, False)
    expect(state).to_have_text("Live")


def test_whoever_was_not_let_in_is_told_what_opens_the_dashboard(
    browser: Browser, site: Site
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{site.origin}{JOB}")
    expect(page.get_by_role("alert")).to_contain_text("open the address that the command printed")
    assert page.locator("input[type=password]").count() == 0
    context.close()
