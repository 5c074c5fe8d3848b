"""The dashboard of the chart in a browser: a queue, a job as it trains, two jobs compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.chromium import launched
from tests.browser.watched import Watch
from tests.e2e.harness import NAMESPACE, SYSTEM, Harness, Job

PROJECT = "q-pages"
TRAINS, FAST, SLOWLY = "trains", "learns-fast", "learns-slowly"
"""In the order in which they are submitted; those of the same second go by their names."""
PATIENCE = 300_000
"""Milliseconds that a page may wait for the cluster: a pod's start on a loaded machine."""
ENDLESS: Job = {
    "training": {"maxSteps": 100_000, "validations": 10_000},
    "runner": {"gpus": 1},
}


def learning(rate: float) -> Job:
    """A short job's changes."""
    optimizer = {"learningRate": rate}
    return {"training": {"maxSteps": 20, "validations": 4, "optimizer": optimizer}}


@pytest.fixture(scope="module")
def token(harness: Harness) -> str:
    """Of one who may edit: a job trains, and two wait for it."""
    for name, change in ((TRAINS, ENDLESS), (FAST, learning(3e-3)), (SLOWLY, learning(1e-5))):
        harness.submit(name, PROJECT, change)
        harness.wait(name, "Queued", "Starting", "Running")
    kubectl = harness.cluster.kubectl
    kubectl("create", "serviceaccount", "reader", "-n", NAMESPACE)
    kubectl("create", "rolebinding", "reader", "-n", NAMESPACE, "--clusterrole=edit",
            f"--serviceaccount={NAMESPACE}:reader")  # fmt: skip
    return kubectl("create", "token", "reader", "-n", NAMESPACE, "--duration=1h").strip()


@pytest.fixture(scope="module")
def page(harness: Harness, token: str) -> Iterator[Page]:
    """One that stays open through all tests, and in the end did nothing that no page may do.

    The Service speaks no TLS, over which alone browsers heed a Cross-Origin-Opener-Policy; they
    say so.
    """
    host = harness.core.read_namespaced_service("sihl-dashboard", SYSTEM).spec.cluster_ip
    watch = Watch(f"http://{host}", {"401", "Cross-Origin-Opener-Policy"})
    with launched() as browser:
        context = browser.new_context()
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        watch.over(page, f"http://{host}/")
        page.goto(f"http://{host}/")
        yield page
        found = watch.found()
        context.close()
    assert not found, "\n".join(found)


def number(locator: Locator) -> int:
    """The first one of a text, which may have spaces for its thousands; 0 where there is none."""
    found = re.search(r"\d[\d\u202f]*", locator.inner_text())
    return int(found[0].replace("\u202f", "")) if found else 0


def grows(harness: Harness, page: Page, what: str, read: Callable[[], int]) -> None:
    """Return once a number on the page has become larger."""
    before = read()

    def check() -> bool:
        page.wait_for_timeout(200)  # the page's own events come while one waits for it
        return read() > before

    harness.until(check, f"more {what} than {before}", TRAINS)


def phase(page: Page) -> Locator:
    """Of the job whose page it is."""
    return page.locator(".job-head .phase")


def test_who_logs_in_with_a_token_sees_the_queue_in_order_and_which_gpus_are_free(
    harness: Harness, page: Page, token: str
) -> None:
    page.get_by_label("Token").fill("nobody")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).not_to_be_empty(timeout=PATIENCE)
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview", timeout=PATIENCE)
    harness.wait(TRAINS, "Running")
    queue = page.locator(".queue").filter(has_text=PROJECT)
    rows = queue.get_by_role("listitem")
    expect(queue.get_by_role("heading")).to_contain_text("held, 2 wait", timeout=PATIENCE)
    expect(rows).to_have_text(
        [
            re.compile(f"{TRAINS}.*Running.* of 100\u202f000"),
            re.compile(rf"1\.\s*{FAST}.*Queued.*\w+: "),
            re.compile(rf"2\.\s*{SLOWLY}.*Queued.*\w+: "),
        ],
        timeout=PATIENCE,
    )
    node = harness.pod(PROJECT).spec.node_name
    gpus = page.get_by_role("region", name="GPUs").get_by_role("listitem")
    expect(gpus.filter(has_text=node)).to_contain_text("1 used, 0 free")


def test_curves_and_log_of_a_job_grow_while_one_looks(harness: Harness, page: Page) -> None:
    page.get_by_role("link", name=TRAINS, exact=True).click()
    expect(phase(page)).to_have_text("Running", timeout=PATIENCE)
    page.evaluate("window.isSame = true")
    loss = page.get_by_role("figure").filter(has_text="train/digit/cross_entropy")
    told = loss.locator(".chart-told")
    told.scroll_into_view_if_needed()
    expect(told).to_contain_text("point", timeout=PATIENCE)
    grows(harness, page, "points", lambda: number(told))
    lines = page.locator(".log-bar").get_by_text(re.compile("lines$"))
    grows(harness, page, "lines", lambda: number(lines))
    expect(page.locator(".log-row").last).to_be_in_viewport()
    assert page.evaluate("window.isSame"), "the page was loaded anew"


def test_a_job_is_stopped_with_a_checkpoint_and_resumed_by_its_buttons(
    harness: Harness, page: Page
) -> None:
    page.get_by_role("button", name="Stop").click()
    expect(phase(page)).to_have_text("Stopped", timeout=PATIENCE)
    step = harness.status(TRAINS)["checkpoint"]["step"]
    saved = page.locator("#time").get_by_role("row").filter(has_text="CheckpointSaved")
    expect(saved).to_contain_text(f"{step}")
    page.get_by_role("button", name="Resume").click()
    expect(phase(page)).to_have_text("Running", timeout=PATIENCE)
    attempts = page.locator("#time tbody tr")
    expect(attempts.filter(has_text="Stopped").first).to_be_visible()
    expect(page.locator("#time svg[role=img]")).to_contain_text(
        f"2, from step {step}", timeout=PATIENCE
    )
    assert page.evaluate("window.isSame"), "the page was loaded anew"


def test_two_jobs_that_have_ended_are_compared(harness: Harness, page: Page) -> None:
    harness.suspend(TRAINS)
    harness.wait(SLOWLY, "Succeeded")
    harness.wait(FAST, "Succeeded")
    page.get_by_role("link", name=f"{NAMESPACE} / {PROJECT}").click()
    jobs = page.locator(".jobs-table tr[data-job]")
    expect(jobs).to_have_count(3, timeout=PATIENCE)
    jobs.filter(has_text=TRAINS).get_by_role("checkbox").uncheck()
    differing = page.locator("#differences")
    expect(differing.get_by_role("columnheader")).to_have_text(
        [re.compile(FAST), re.compile(SLOWLY)], timeout=PATIENCE
    )
    rate = differing.get_by_role("row").filter(has_text="learningRate")
    expect(rate.get_by_role("cell")).to_have_text(["0.003", re.compile("0.00001|1e[-−]0?5")])
    accuracy = differing.get_by_role("row").filter(has_text="validation/digit/").first
    expect(accuracy).to_contain_text(re.compile("better|worse|equal"))
    curves = page.locator("#curves figure").filter(has_text="validation/digit/").first
    expect(curves).to_contain_text("8 points in 4 buckets", timeout=PATIENCE)
