"""Pictures of validations: one slider for all, jobs side by side, the most disagreed first."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser import shown
from tests.browser.conftest import Opened

NIGHT = f"/team-a/cells/{shown.NIGHT}"


def drawn(page: Page) -> list[str]:
    """The addresses of the pictures that are shown, which have been loaded."""
    pictures = page.locator(".picture img")
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("complete", True)
        assert picture.evaluate("image => image.naturalWidth") == 152
    return [str(each.get_attribute("src")) for each in pictures.all()]


@pytest.fixture
def page(opened: Opened) -> Page:
    """A job's, at its pictures."""
    page = opened(NIGHT)
    page.locator("#pictures").scroll_into_view_if_needed()
    return page


def test_the_pictures_of_a_job_go_from_step_to_step_by_one_slider(page: Page) -> None:
    slider = page.get_by_role("slider", name="Step")
    expect(slider).to_have_attribute("aria-valuetext", "step 100")
    assert [address.split("/")[-4] for address in drawn(page)] == ["100"] * 4
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(slider).to_have_attribute("aria-valuetext", "step 40")
    assert [address.split("/")[-4] for address in drawn(page)] == ["40"] * 4
    assert "step=40" in page.url
    page.keyboard.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", "step 20")
    page.locator("h1").first.click()
    page.keyboard.press(".")
    expect(slider).to_have_attribute("aria-valuetext", "step 40")
    page.reload()
    page.locator("#pictures").scroll_into_view_if_needed()
    expect(slider).to_have_attribute("aria-valuetext", "step 40")
    page.get_by_role("button", name="The next step").click()
    expect(slider).to_have_attribute("aria-valuetext", "step 100")
    assert "step=" not in page.url  # the latest, whichever that will be


def test_a_picture_says_what_it_shows_to_those_who_do_not_see_it(page: Page) -> None:
    expect(page.locator(".picture img").first).to_have_attribute(
        "alt", "0.jpg.png: image, target and prediction as night drew them at step 100"
    )


def test_jobs_lie_side_by_side_and_first_come_images_on_which_they_disagree_most(
    opened: Opened,
) -> None:
    jobs = [shown.NIGHT, shown.DAY, shown.DUSK]
    page = opened(f"/team-a/cells?jobs={','.join(jobs)}")
    page.locator("#pictures").scroll_into_view_if_needed()
    images = page.locator(".pictures-image")
    expect(images.locator("h3")).to_have_text(["3.jpg", "2.jpg", "1.jpg", "0.jpg"])
    expect(images.first.locator("header")).to_contain_text("differ by")
    expect(images.last.locator("header")).to_contain_text("all alike")
    expect(images.first.locator(".picture")).to_have_count(3)
    assert len(drawn(page)) == 12
    page.get_by_role("slider", name="Step").press("Home")
    expect(images.first.locator("figcaption").first).to_contain_text("step 20")
    assert {address.split("/")[-4] for address in drawn(page)} == {"20"}
