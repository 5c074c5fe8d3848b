"""Curves: whose is which, where their values lie, and what of them a viewer sees."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page, expect

import sihl_dashboard
from tests.browser import shown
from tests.browser.conftest import Opened
from tests.support.recorded import SPEC, recorded, train

SHEET = Path(sihl_dashboard.__file__).parent / "static" / "chart.css"
CALL = """async ([module, name, args]) =>
    (await import(`/static/parts/${module}.mjs`))[name](...args)"""

# Machado, Oliveira and Fernandes 2009, severity 1; in linear RGB.
CONES = {
    "all": np.eye(3),
    "no red": np.array(
        [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]]
    ),
    "no green": np.array(
        [[0.3673, 0.8607, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]]
    ),
    "no blue": np.array(
        [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]]
    ),
}
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
# OKLab: Ottosson 2020.
TO_LMS = np.array(
    [[0.41222, 0.53633, 0.05145], [0.21190, 0.68070, 0.10740], [0.08830, 0.28172, 0.62998]]
)
TO_LAB = np.array(
    [[0.21045, 0.79362, -0.00407], [1.97800, -2.42859, 0.45059], [0.02590, 0.78277, -0.80868]]
)


def linear(colour: str) -> NDArray[np.float64]:
    """A colour's linear RGB."""
    rgb = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """As WCAG has it."""
    dark, light = sorted(float(LUMINANCE @ linear(each)) for each in (one, other))
    return (light + 0.05) / (dark + 0.05)


def distance(one: str, other: str, cones: str) -> float:
    """In OKLab, as seen with these cones."""
    seen = [
        TO_LAB @ np.cbrt(TO_LMS @ np.clip(CONES[cones] @ linear(each), 0, 1))
        for each in (one, other)
    ]
    return float(np.linalg.norm(seen[0] - seen[1]))


@pytest.mark.parametrize(("look", "panel"), [(0, "#ffffff"), (1, "#171b20")])
def test_colours_are_told_apart_also_by_who_lacks_cones(look: int, panel: str) -> None:
    both = re.findall(r"--curve-\d: (#[0-9a-f]{6})", SHEET.read_text())
    assert len(both) == 16
    colours = both[8 * look :][:8]
    for colour in colours:
        assert contrast(colour, panel) >= 3, colour
    for cones, least in (("all", 0.12), ("no red", 0.12), ("no green", 0.12), ("no blue", 0.08)):
        for pair in itertools.combinations(colours, 2):
            assert distance(*pair, cones) >= least, (pair, cones)


@pytest.fixture
def module(opened: Opened) -> Page:
    """A page of the site, to call its modules from."""
    return opened("/")


def call(page: Page, module: str, name: str, *args: Any) -> Any:
    """What a function of a module answers."""
    return page.evaluate(CALL, [module, name, list(args)])


def test_a_job_keeps_its_look_and_no_two_look_alike_before_all_looks_are_given(
    module: Page,
) -> None:
    jobs = [f"job.{number:08x}" for number in range(40)]
    looks = [call(module, "colours", "lookOf", job) for job in jobs]
    assert len({look["colour"] for look in looks[:8]}) == 8
    assert len({(look["colour"], look["dashName"]) for look in looks}) == 40
    assert [call(module, "colours", "lookOf", job) for job in reversed(jobs)] == looks[::-1]


def test_how_curves_are_looked_at_is_read_as_it_was_spelled(module: Page) -> None:
    view = {
        "axis": "images", "smoothing": 12.5, "isLog": True, "ghosts": False, "metrics": "map box",
        "first": 10, "last": 20.5, "hidden": ["a.1", "b.2"],
    }  # fmt: skip
    spelled = call(module, "curvesview", "curvesParams", view)
    as_text = {name: "1" if value is True else str(value) for name, value in spelled.items()}
    assert call(module, "curvesview", "curvesViewOf", as_text) == view
    usual = call(module, "curvesview", "curvesViewOf", {})
    assert not any(call(module, "curvesview", "curvesParams", usual).values())
    broken = {"axis": "toString", "smooth": "NaN", "zoom": "5~1"}
    assert call(module, "curvesview", "curvesViewOf", broken) == usual


def test_the_finer_answer_stands_where_it_lies_in_the_coarser_one(module: Page) -> None:
    def drawn(x: list[int], **lines: list[int]) -> dict[str, Any]:
        arrays = ("last", "min", "max", "clock")
        return {
            "x": x, "first": x[0], "last": x[-1], "points": len(x),
            "lines": [{"job": job, "attempt": None} | dict.fromkeys(arrays, values)
                      for job, values in lines.items()],
        }  # fmt: skip

    coarse = drawn([0, 10, 20, 30, 40], a=[0, 1, 2, 3, 4], b=[5, 6, 7, 8, 9])
    found = call(module, "curvesdata", "stitched", coarse, drawn([12, 14, 20, 28], a=[1, 2, 3, 4]))
    assert found["x"] == [0, 10, 12, 14, 20, 28, 30, 40]
    assert found["lines"][0]["last"] == [0, 1, 1, 2, 3, 4, 3, 4]
    assert found["lines"][1]["last"] == [5, 6, None, None, None, None, 8, 9]
    assert (found["first"], found["last"], found["points"]) == (0, 40, 4)


@pytest.mark.parametrize("choice", [{}, {"isFlipped": True}, {"isLog": True, "isFlipped": True}])
def test_a_place_on_an_axis_is_the_value_that_lies_there(
    module: Page, choice: dict[str, bool]
) -> None:
    values = [0.001, 0.01, 0.1, 1, None]
    axis = call(module, "parallelaxes", "axisOf", "spec.rate", values, choice)
    assert call(module, "parallelaxes", "placeOn", axis, None) is None
    for value in values[:-1]:
        place = call(module, "parallelaxes", "placeOn", axis, value)
        assert 0 <= place <= 1
        assert call(module, "parallelaxes", "valueAt", axis, place) == pytest.approx(value)
    ends = call(module, "parallelaxes", "conditionsOf", axis, 0, 1)
    assert ends == ["spec.rate:ge:0.001", "spec.rate:le:1"]
    assert call(module, "parallelaxes", "axisOf", "spec.rate", [1, 1, None]) is None


def test_what_lies_out_of_sight_is_not_drawn(opened: Opened) -> None:
    page = opened(
        f"/team-a/cells?jobs={shown.NIGHT},{shown.DAY}", viewport={"width": 390, "height": 300}
    )
    pictures = page.locator("#curves canvas:visible")
    expect(page.locator(".jobs-table tbody tr[data-job]").first).to_be_attached()
    expect(page.locator(".curves-cell")).to_have_count(2)
    expect(pictures).to_have_count(0)
    page.locator(".curves-cell").first.scroll_into_view_if_needed()
    expect(pictures.first).to_be_visible()
    page.get_by_role("heading", level=1).scroll_into_view_if_needed()
    expect(pictures).to_have_count(0)


def test_a_zoom_asks_for_its_stretch_and_stays_while_points_come(
    opened: Opened, folder: Path
) -> None:
    job = recorded(folder, "zoomed", project="living")
    job.job({**SPEC, "project": "living"})
    job.metrics(1, 0, *(train(step, 1 / step, shown.spelled(step)) for step in range(1, 101)))
    page = opened(f"/team-a/living/{job.ref.folder}")
    curves = page.locator("#curves")
    expect(curves).to_contain_text("100 points in 100 buckets")
    chart = curves.get_by_role("application", name="train/loss")
    chart.focus()
    chart.press("End")
    chart.press("+")
    expect(curves).to_contain_text("50 points in 50 buckets")
    zoomed = page.url
    assert "zoom=" in zoomed
    # Another attempt goes on from step 80: what was learnt beyond is still seen, as a ghost.
    job.metrics(2, 0, *(train(step, 1.0, shown.spelled(step + 90)) for step in range(81, 86)))
    expect(curves).to_contain_text("55 points in 50 buckets", timeout=20_000)
    assert page.url == zoomed


def test_a_charts_values_are_had_without_a_picture(opened: Opened) -> None:
    page = opened(f"/team-a/cells?jobs={shown.NIGHT},{shown.DAY}&metrics=validation/boxes/map")
    page.locator("#curves").get_by_text("Values as a table").first.click()
    table = page.get_by_role("table", name="Values of validation/boxes/map")
    expect(table.get_by_role("columnheader", name="night", exact=True)).to_be_visible()
    assert table.get_by_role("row").count() > 1
    expect(table).to_contain_text("step")
