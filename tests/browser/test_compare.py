"""Jobs compared: which there are, what differs between them, what came of it, what is next."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Locator, Page, Request, Route, expect

from tests.browser import shown
from tests.browser.conftest import Opened

ALL = ",".join((shown.NIGHT, shown.DAY, shown.DUSK))

VERDICT = """async found => {
  const { verdicts } = await import("/static/parts/verdict.mjs");
  const labels = new Map([["a.1", "a"], ["b.1", "b"]]);
  return verdicts(found, ["a.1", "b.1"], "a.1", labels).textContent;
}"""

MADE, LATER = "2026-11-26T02:20:00Z", "2026-11-26T02:20:01Z"

BASELINE = """async made => {
  const { baselineOf } = await import("/static/parts/comparemodel.mjs");
  const rows = Object.entries(made).map(([job, at]) => ({ job, values: { "job.createdAt": at } }));
  return baselineOf(rows, null, Object.keys(made).reverse());
}"""


@pytest.fixture
def page(opened: Opened) -> Page:
    """The project, with its three jobs chosen."""
    page = opened(f"/team-a/cells?jobs={ALL}")
    expect(page.locator(".jobs-table tbody th")).to_have_text(["day", "dusk", "night"])
    return page


def row(page: Page, job: str) -> Locator:
    """A job's, in the table."""
    return page.locator(f".jobs-table tr[data-job='{job}']")


def test_jobs_are_sorted_filtered_and_grouped_and_the_address_keeps_it(page: Page) -> None:
    names = page.locator(".jobs-table tbody tr[data-job] th")
    rate = page.locator(".jobs-table thead").get_by_role("button", name="learningRate")
    rate.click()
    expect(names.first).to_have_text("day")
    rate.click()
    expect(names.last).to_have_text("day")
    page.get_by_label("Filter: field").fill("spec.training.seed")
    page.get_by_label("Filter: value").fill("0")
    page.get_by_label("Filter: value").press("Enter")
    expect(names).to_have_count(2)
    page.get_by_label("Group by").select_option(label="learningRate")
    expect(page.locator(".jobs-group")).to_have_count(2)
    page.reload()
    expect(page.locator(".jobs-group")).to_have_count(2)
    expect(names).to_have_count(2)
    page.get_by_role("searchbox", name="Filter jobs by name").fill("nig")
    expect(names).to_have_text(["night"])


def test_of_records_that_are_still_being_read_the_page_says_so(opened: Opened) -> None:
    look = {"at": 0, "looked": 400, "due": 1000, "isUnderWay": True}

    def before(page: Page) -> None:
        page.route(
            re.compile(r"/jobs\?columns="),
            lambda route: route.fulfill(json=route.fetch().json() | {"look": look}),
        )

    page = opened("/team-a/cells", before=before)
    told = page.locator(".jobs-count")
    expect(told).to_contain_text("3 jobs · 3 chosen · reading records, 400 of 1000 so far")
    expect(told).to_have_attribute("aria-busy", "true")


def test_the_oldest_job_is_the_baseline_and_of_one_second_the_first_by_name(page: Page) -> None:
    for expected, made in (
        ("b.1", {"a.2": LATER, "b.1": MADE}),
        ("digits.9", {"digits.9": MADE, "digits-fast.1": MADE}),
        ("a.1", {"a.1": MADE, "b.2": None}),
    ):
        assert page.evaluate(BASELINE, made) == expected


def test_the_table_is_worked_by_keys_alone(page: Page) -> None:
    first = row(page, shown.DAY).get_by_role("checkbox")
    first.focus()
    page.keyboard.press("Space")
    expect(first).not_to_be_checked()
    expect(page).to_have_url(re.compile(f"jobs={shown.NIGHT}%2C{shown.DUSK}$"))
    page.keyboard.press("ArrowDown")
    expect(row(page, shown.DUSK).get_by_role("checkbox")).to_be_focused()
    page.keyboard.press("b")
    expect(row(page, shown.DUSK)).to_contain_text("★ baseline")
    expect(row(page, shown.NIGHT)).to_contain_text("+0.0200 better")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("dusk")


def test_of_settings_and_data_that_is_shown_which_differs(page: Page) -> None:
    differences = page.locator("#differences")
    expect(differences).to_contain_text("training.optimizer.learningRate")
    expect(differences).to_contain_text("training.seed")
    expect(differences).to_contain_text("train.images")
    expect(differences).not_to_contain_text("maxSteps")
    score = differences.get_by_role("row", name="validation/boxes/map")
    expect(score).to_contain_text("0.895")
    expect(score).to_contain_text("worse")


def test_how_curves_are_looked_at_is_kept_in_the_address(page: Page) -> None:
    curves = page.locator("#curves")
    expect(curves).to_contain_text("points in")
    curves.get_by_label("Over").select_option(label="Images seen")
    curves.get_by_label("Log scale").check()
    curves.get_by_role("searchbox", name="Metrics").fill("loss")
    expect(curves.get_by_role("figure")).to_have_count(1)
    curves.get_by_role("button", name="Zoom in").click()
    curves.get_by_role("button", name="dusk").click()
    page.reload()
    expect(curves.get_by_label("Over")).to_have_value("images")
    expect(curves.get_by_label("Log scale")).to_be_checked()
    expect(curves.get_by_role("figure")).to_have_count(1)
    expect(curves.get_by_role("button", name="dusk")).to_have_attribute("aria-pressed", "false")
    assert "zoom=" in page.url


def test_a_curve_is_read_by_keys_and_its_point_leads_to_the_log_of_that_moment(
    page: Page,
) -> None:
    chart = page.get_by_role("application", name="train/loss")
    page.locator("#curves").get_by_text("train/loss", exact=True).scroll_into_view_if_needed()
    expect(chart.locator("canvas").first).to_be_visible()  # it is drawn
    chart.focus()
    page.keyboard.press("ArrowRight")
    told = page.locator("figure", has=chart).locator(".chart-readout")
    expect(told).to_contain_text("step")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("night|day|dusk"))
    expect(page.locator(".log-row[aria-selected]")).to_contain_text(re.compile(r"step \d+"))
    assert "at=" in page.url


def test_what_is_marked_on_an_axis_is_what_the_table_shows(page: Page) -> None:
    expect(page.locator(".parallel-handle")).to_have_count(4)
    heads = page.locator(".parallel-heads > *").all_text_contents()
    (at,) = (index for index, text in enumerate(heads) if "learningRate" in text)
    handle = page.locator(".parallel-handle").nth(at)
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    assert box is not None
    x = box["x"] + box["width"] / 2
    page.mouse.move(x, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(x, box["y"] + box["height"] / 3, steps=3)
    page.mouse.up()
    expect(page.locator(".jobs-table tbody th")).to_have_text(["day"])  # of the highest rate
    expect(page.get_by_role("list", name="Filters").get_by_role("listitem")).not_to_have_count(0)
    assert "where=" in page.url


def test_what_an_experiment_changed_and_whether_it_helped_is_said_in_a_sentence(page: Page) -> None:
    said = page.locator(".verdicts li")
    expect(said.filter(has_text=re.compile("^day"))).to_contain_text(
        "worse than night: boxes/map 0.8050, −0.0900"
    )
    expect(said.filter(has_text=re.compile("^day"))).to_contain_text("learningRate 0.01 instead of")
    expect(said.filter(has_text=re.compile("^dusk"))).to_contain_text(
        "It has seed 7 instead of 0 and other data."
    )


def test_what_another_seed_may_do_as_well_is_said_to_be_that(page: Page) -> None:
    score = {"metric": "validation/map", "job": "b.1", "value": 0.52, "step": 9}
    found = {
        "scores": [{**score, "delta": 0.02, "isBetter": True}],
        "spreads": [{"metric": "validation/map", "deviation": 0.01}],
        "settings": [],
        "dataset": [],
    }
    assert page.evaluate(VERDICT, found) == (
        "b is better than a: map 0.5200, +0.0200, which another seed may do as well."
        " Nothing that the records tell was changed."
    )


def test_the_next_job_is_one_of_these_with_fields_changed(page: Page) -> None:
    page.get_by_role("button", name="Next job from day").click()
    dialog = page.get_by_role("dialog", name="Next job, from day")
    dialog.get_by_label("New value of training.optimizer.learningRate").fill("0.003")
    expect(dialog.locator("pre")).to_contain_text("learningRate: 0.003")
    with page.expect_download() as download:
        dialog.get_by_role("link", name="Download").click()
    job = yaml.safe_load(Path(download.value.path()).read_text())
    assert job["kind"] == "TrainingJob"
    assert job["spec"]["training"]["optimizer"]["learningRate"] == 0.003
    page.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()


def test_who_may_act_submits_the_next_job_as_it_is_shown(opened: Opened) -> None:
    sent: list[Request] = []

    def answer(route: Route) -> None:
        sent.append(route.request)
        route.fulfill(status=201, json={})

    def before(page: Page) -> None:
        may = {"canAct": True, "csrf": "proof"}
        page.route("**/api/v1/me", lambda r: r.fulfill(json=r.fetch().json() | may))
        page.route("**/trainingjobs", answer)

    page = opened(f"/team-a/cells?jobs={shown.NIGHT},{shown.DAY}", before)
    page.get_by_role("button", name="Next job from day").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("New value of training.optimizer.learningRate").fill("0.003")
    expect(dialog.locator("pre")).to_contain_text("learningRate: 0.003")
    text = dialog.locator("pre").text_content()
    dialog.get_by_role("button", name="Submit").click()
    expect(dialog).not_to_be_visible()
    (request,) = sent
    assert (request.method, request.post_data) == ("POST", text)
    assert request.headers["x-csrf"] == "proof"


def test_what_the_table_shows_can_be_had_for_a_spreadsheet(page: Page) -> None:
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    lines = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
    assert {line["job"] for line in lines} == {shown.NIGHT, shown.DAY, shown.DUSK}
    assert {line["spec.training.seed"] for line in lines} == {"0", "7"}
