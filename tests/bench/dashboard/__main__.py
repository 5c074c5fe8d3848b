"""`python -m tests.bench.dashboard`: from opening a page to the first curve, beside others' pages.

The same 50 runs of 10,000 points of each of four metrics, as records in a folder for this project's
dashboard, as event files for TensorBoard, in a SQLite store for MLflow. The last two are installed
into an environment of their own in the cache, the first time, and nothing else ever uses it. Every
server is this machine's, and so is all that the pages reach. All run as they do by default, but
that MLflow gets two processes (its eleven starved each other on two busy cores until its page
broke), and is told once, as its users do by its menu, to show all runs and not the first ten.

A curve counts as painted in the frame after the one in which the page has it:
- ours: a canvas of a chart's curves has a pixel that is not empty (all 50 are painted at once);
- TensorBoard, the tab of time series: a path of a scalar card's series, in SVG (its default is
  WebGL, a canvas, which is slower without a GPU: the browser is started without it);
- MLflow, the experiment's chart view: a line of Plotly's with more than one point.

Each server is started anew each round. `started` is the first visit of a browser that has nothing
in its cache, once the server answers (TensorBoard: once it knows all runs, as before it shows a
page without any); `in all` is the same with what the server took to start, as some read everything
then and others when they are asked; `again` is the same browser's next visit. Before each visit a
second passes, in which a browser that has just begun gets ready, as people's is; our server reads a
folder's records in it, as TensorBoard's has read its files by then. Medians of the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, StorageState

from local_cluster.control_plane import free_port
from tests.bench.dashboard import motion, rivals
from tests.bench.dashboard.ours_written import NAMESPACE, PROJECT, write_project, write_runs
from tests.bench.dashboard.seen import (
    MLFLOW_CURVE,
    OUR_CURVE,
    OUR_JOBS,
    TENSORBOARD_CURVE,
    Sight,
    chromium,
    opened,
    seconds_to_see,
)
from tests.bench.records import NAMESPACE as MANY_NAMESPACE
from tests.bench.records import PROJECT as MANY_PROJECT
from tests.bench.report import tell
from tests.browser.site import serve

OURS, TENSORBOARD, MLFLOW = "sihl", "TensorBoard", "MLflow"
STARTED, IN_ALL, AGAIN = "started", "in all", "again"


class Figures(dict[str, list[float]]):
    """Figures of each round, told as they come: a bench that breaks off has told something."""

    def note(self, name: str, value: float) -> None:
        """One more round's."""
        print(f"{name}: {value:.2f}", file=sys.stderr, flush=True)
        self.setdefault(name, []).append(value)


@dataclass(frozen=True)
class Rival:
    """Another's page.

    Args:
        serve: Starts its server, and tells the address.
        sight: Its first curve.
        state: What its page remembers of earlier visits.
    """

    serve: Callable[[], AbstractContextManager[str]]
    sight: Sight
    state: StorageState | None = None


def ours(browser: Browser, folder: Path, names: list[str], found: Figures) -> None:
    """A round of the curves of our runs, and of moving them."""
    began = time.monotonic()
    with serve(folder) as site, opened(browser, OUR_CURVE) as page:
        starting = time.monotonic() - began
        page.request.get(site.opening, max_redirects=0)
        address = f"{site.origin}/{NAMESPACE}/{PROJECT}?jobs={','.join(names)}"
        visited(page, address, OURS, starting, found)
        for name, move in (("zooming", motion.zooming), ("panning", motion.panning)):
            pictures, longest = move(page)
            found.note(f"{name}: frames a second", pictures)
            found.note(f"{name}: longest time without a frame, ms", longest)


def many(browser: Browser, folder: Path, jobs: int, found: Figures) -> None:
    """A round of the page of a project of many jobs."""
    with serve(folder / "runs") as site, opened(browser, OUR_JOBS) as page:
        page.request.get(site.opening, max_redirects=0)
        address = f"{site.origin}/{MANY_NAMESPACE}/{MANY_PROJECT}"
        for visit in (STARTED, AGAIN):
            name = f"a project of {jobs} jobs, {visit}: its table, s"
            found.note(name, seconds_to_see(page, address))


def theirs(browser: Browser, name: str, rival: Rival, found: Figures) -> None:
    """A round of another's page."""
    began = time.monotonic()
    with rival.serve() as address, opened(browser, rival.sight, rival.state) as page:
        visited(page, address, name, time.monotonic() - began, found)


def visited(page: Page, address: str, name: str, starting: float, found: Figures) -> None:
    """Two visits, the server having taken so many seconds to start."""
    first, again = seconds_to_see(page, address), seconds_to_see(page, address)
    for visit, seconds in ((STARTED, first), (IN_ALL, starting + first), (AGAIN, again)):
        found.note(first_curve(name, visit), seconds)


def first_curve(name: str, visit: str) -> str:
    """What a figure is called."""
    return f"{name}, {visit}: first curve, s"


def all_shown(browser: Browser, rival: Rival) -> StorageState:
    """What MLflow's page remembers of somebody who wants to see all runs."""
    with rival.serve() as address, opened(browser, rival.sight) as page:
        seconds_to_see(page, address)
        page.get_by_test_id("experiment-view-runs-visibility-column-header").click()
        page.get_by_text("Show all runs").click()
        page.wait_for_function("() => JSON.stringify({...localStorage}).includes('SHOW_ALL')")
        return page.context.storage_state()


def rivals_of(browser: Browser, given: argparse.Namespace) -> dict[str, Rival]:
    """The others, by name, with the same runs."""
    data = rivals.written(given.runs, given.points)
    ports = free_port(), free_port()
    mlflow = Rival(lambda: rivals.mlflow(data, ports[1]), MLFLOW_CURVE)
    return {
        TENSORBOARD: Rival(
            lambda: rivals.tensorboard(data, ports[0], given.runs), TENSORBOARD_CURVE
        ),
        MLFLOW: replace(mlflow, state=all_shown(browser, mlflow)),
    }


def measured(given: argparse.Namespace, place: Path) -> dict[str, Any]:
    """All figures, medians of the rounds."""
    names = write_runs(place / "runs", given.runs, given.points)
    write_project(place / "many", given.jobs)
    found = Figures()
    with chromium() as browser:
        others = {} if given.ours else rivals_of(browser, given)
        for _ in range(given.rounds):
            ours(browser, place / "runs", names, found)
            many(browser, place / "many", given.jobs, found)
            for name, rival in others.items():
                theirs(browser, name, rival, found)
    return {name: statistics.median(values) for name, values in found.items()}


def table(figures: dict[str, Any]) -> str:
    """Pages beside each other, as docs/benchmarks.md has them."""
    versions = {OURS: OURS, TENSORBOARD: f"{TENSORBOARD} {rivals.TENSORBOARD}",
                MLFLOW: f"{MLFLOW} {rivals.MLFLOW}"}  # fmt: skip
    lines = [f"| | {' | '.join(versions.values())} |", f"|---|{'---:|' * len(versions)}"]
    rows = {
        STARTED: "first visit after the server's start",
        IN_ALL: "the same with the server's start",
        AGAIN: "the next visit",
    }
    for visit, told in rows.items():
        seconds = [figures[first_curve(name, visit)] for name in versions]
        times = [value / seconds[0] for value in seconds]
        lines.append(f"| {told}, s | {' | '.join(f'{value:.2f}' for value in seconds)} |")
        lines.append(f"| the same, times ours | {' | '.join(f'{value:.1f}' for value in times)} |")
    return "\n".join(lines)


def main() -> int:
    """Print figures, and write them as JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.dashboard", description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--points", type=int, default=10_000, help="of each metric of a run")
    parser.add_argument("--jobs", type=int, default=1000, help="of the project with many")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ours", action="store_true", help="not the pages of others")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sihl-") as place:
        figures = measured(given, Path(place))
    tell(figures, given.json)
    if not given.ours:
        print(f"\n{table(figures)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
