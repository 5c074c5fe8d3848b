"""Pages in headless Chromium: when the first curve stands on them, and how smoothly it moves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from playwright.sync_api import Browser, BrowserContext, Error, Page, Request, sync_playwright

from tests.browser.chromium import program
from tests.support.waiting import eventually

SIZE = {"width": 1440, "height": 900}
_PATIENCE = 180
"""Seconds."""
_REST = 1000
"""Milliseconds before a visit, in which a browser that has just begun gets ready: people's is."""
_TRIES = 5
_BREAKS = ("ERR_NETWORK_CHANGED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION")
_ARGUMENTS = (
    "--no-sandbox",  # cannot be had as root; it sees these servers' pages alone
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # whoever asks the internet
    "--disable-3d-apis",  # without a GPU TensorBoard's WebGL takes half as long again as its SVG
)
_NOTE = """
(() => {
  const CANVASES = %s, NODES = %s, EVERY = 25;
  const copy = document.createElement("canvas");
  const pen = copy.getContext("2d", { willReadFrequently: true });
  function isPainted(canvas) {
    if (!canvas.width || !canvas.height) return false;
    copy.width = canvas.width;
    copy.height = canvas.height;
    pen.drawImage(canvas, 0, 0);
    return pen.getImageData(0, 0, copy.width, copy.height).data.some((byte) => byte > 0);
  }
  let asked = 0;
  function look(now) {
    if (now - asked < EVERY) return requestAnimationFrame(look);
    asked = now;
    const isThere = (NODES && document.querySelector(NODES))
      || (CANVASES && [...document.querySelectorAll(CANVASES)].some(isPainted));
    requestAnimationFrame(isThere ? () => { window.shownAfter = performance.now(); } : look);
  }
  requestAnimationFrame(look);
})();
"""


@dataclass(frozen=True)
class Sight:
    """What tells that the page shows what one waits for.

    Args:
        canvases: Selects canvases; one of them has a pixel that is not empty.
        nodes: Selects elements; one of them is there.
    """

    canvases: str | None = None
    nodes: str | None = None


OUR_CURVE = Sight(canvases=".chart-layer canvas")
OUR_JOBS = Sight(nodes="#jobs:has(.jobs-count:not([aria-busy])) tr[data-job]")
"""All of them: while some are still being read, the page says so."""
TENSORBOARD_CURVE = Sight(nodes="scalar-card line-chart .series-view path[d]")
MLFLOW_CURVE = Sight(nodes=".js-plotly-plot .scatterlayer path.js-line[d*='L']")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's; it reaches this machine alone."""
    found = program()
    assert found, "no chromium: python -m tests.browser.chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(_ARGUMENTS))
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, sight: Sight, state: object = None) -> Iterator[Page]:
    """A page of a browser that has seen nothing yet, and notes when it shows that."""
    context: BrowserContext = browser.new_context(viewport=SIZE, storage_state=state)  # type: ignore[arg-type]
    context.set_default_timeout(1000 * _PATIENCE)
    quoted = [json.dumps(each) for each in (sight.canvases, sight.nodes)]
    context.add_init_script(_NOTE % tuple(quoted))
    yield context.new_page()
    context.close()


def seconds_to_see(page: Page, address: str) -> float:
    """From opening an address to the frame in which the page shows what it is opened for.

    By the page's own clock, which begins with the navigation. A visit whose connections break is
    made anew: Chromium ends all of them when a network device comes or goes, wherever it leads.
    """
    broken: list[str] = []

    def note(request: Request) -> None:
        if any(each in (request.failure or "") for each in _BREAKS):
            broken.append(f"{request.url}: {request.failure}")

    page.on("requestfailed", note)
    for _ in range(_TRIES):
        page.goto("about:blank")
        page.wait_for_timeout(_REST)
        broken.clear()
        try:
            page.goto(address, wait_until="commit")
        except Error:
            if not broken:
                raise
        shown = eventually(
            lambda: broken or page.evaluate("window.shownAfter"), _PATIENCE, pause=0.05
        )
        if not broken:
            page.remove_listener("requestfailed", note)
            return float(shown) / 1000
    raise RuntimeError(f"connections break all the time: {broken[0]}")
