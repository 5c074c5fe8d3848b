"""`python -m tests.browser.readme RECORD FOLDER`: the pictures of README.md, from real records.

RECORD is a store's folder, as `sihl-trainer local --output RECORD` fills it. Of the project that
has most jobs in it, one picture is of a job's page, one of two jobs or three compared; each in
light and in dark, 1,440 pixels wide.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.chromium import launched
from tests.browser.site import let_in, serve

WIDTH = 1440
PATIENCE = 60_000
LARGEST = 200_000
"""Bytes of a picture: a README is read over slow networks too."""
DRAWN = """() => !document.querySelector("[aria-busy='true']") &&
  [...document.querySelectorAll(".curves-cell")].every(cell =>
    cell.getBoundingClientRect().top > innerHeight || cell.querySelector("canvas"))"""
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.readme", description=__doc__)
    parser.add_argument("record", type=Path, metavar="RECORD")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument(
        "--jobs", nargs="+", metavar="NAME", help="which; the first is the baseline"
    )
    parser.add_argument("--job", metavar="NAME", help="whose page; if not given, the baseline's")
    options = parser.parse_args()
    project, jobs = chosen(options.record, options.jobs)
    job = next((each for each in jobs if named(each) == options.job), jobs[0])
    options.folder.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=PATIENCE)
    with serve(options.record) as site, launched() as browser:
        state = let_in(browser, site)
        for scheme in SCHEMES:
            context = browser.new_context(
                storage_state=state, color_scheme=scheme, reduced_motion="reduce",
                viewport={"width": WIDTH, "height": 900},
            )  # fmt: skip
            page = context.new_page()
            page.goto(f"{site.origin}/{project}/{job}")
            a_job(page)
            take(page, 1030, options.folder / f"job-{scheme}.png")
            asked = f"jobs={','.join(jobs)}&baseline={jobs[0]}"
            page.goto(f"{site.origin}/{project}?{asked}")
            compared(page, len(jobs))
            take(page, 1030, options.folder / f"compare-{scheme}.png")
            context.close()


def chosen(record: Path, names: list[str] | None) -> tuple[str, list[str]]:
    """Namespace and project with most jobs, and of these the named ones, or the first three."""
    projects: dict[Path, list[str]] = {}
    for file in sorted(record.glob("*/*/*/job.json"), key=created):
        projects.setdefault(file.parents[1], []).append(file.parent.name)
    assert projects, f"no job's record in {record}"
    project, jobs = max(projects.items(), key=lambda each: len(each[1]))
    by_name = {named(job): job for job in jobs}
    picked = [by_name[name] for name in names] if names else jobs[:3]
    return project.relative_to(record).as_posix(), picked


def created(file: Path) -> str:
    """When the job of a job.json was."""
    return str(json.loads(file.read_text())["createdAt"])


def named(job: str) -> str:
    """A job's name, of its record's folder."""
    return job.rpartition(".")[0]


def a_job(page: Page) -> None:
    """Return once its curves and its log are drawn."""
    expect(page.locator("#curves canvas").first).to_be_visible()
    expect(page.locator(".log-row").first).to_be_visible()
    settled(page)


def compared(page: Page, jobs: int) -> None:
    """Return once the jobs' curves and differences are drawn."""
    expect(page.locator("#curves canvas").first).to_be_visible()
    expect(page.locator("#differences thead th")).to_have_count(jobs)
    settled(page)


def settled(page: Page) -> None:
    """Return once what is in sight was asked for, and the answers are drawn."""
    for _ in range(PATIENCE // 500):
        page.wait_for_timeout(500)  # longer than it takes from an answer to the next question
        if page.evaluate(DRAWN):
            return
    raise AssertionError(f"{page.url} is not drawn within {PATIENCE / 1000:.0f} s")


def take(page: Page, height: int, file: Path) -> None:
    """The page's upper part, in as many colours as a picture of few bytes may have."""
    page.set_viewport_size({"width": WIDTH, "height": height})
    settled(page)
    shot = Image.open(io.BytesIO(page.screenshot(caret="hide"))).convert("RGB")
    # Whatever has a colour keeps it, however small it is: other ways take the commonest.
    small = shot.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=1)
    small.save(file, optimize=True)
    size = file.stat().st_size
    assert size < LARGEST, f"{file} has {size} bytes"


if __name__ == "__main__":
    main()
