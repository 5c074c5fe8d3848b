"""How many pictures a second a chart shows while somebody zooms and pans it."""

from __future__ import annotations

import time
from collections.abc import Callable

from playwright.sync_api import Page

_SECONDS = 4.0
_STROKE = 40
"""Movements of the hand to one side, before it goes back."""
_WATCH = """
() => {
  const canvas = document.querySelector(".chart-layer canvas");
  const pen = canvas.getContext("2d");
  const clear = pen.clearRect;
  let isPainted = false;
  pen.clearRect = (...area) => { isPainted = true; clear.apply(pen, area); };
  let before = canvas.style.transform;
  const found = { pictures: 0, longest: 0, last: performance.now(), isOver: false };
  window.motion = found;
  function tick(now) {
    if (found.isOver) { delete pen.clearRect; return; }
    if (isPainted || canvas.style.transform !== before) {
      found.pictures++;
      found.longest = Math.max(found.longest, now - found.last);
      found.last = now;
    }
    isPainted = false;
    before = canvas.style.transform;
    requestAnimationFrame(tick);
  }
  requestAnimationFrame(tick);
}
"""
_TURN = """
([seconds, stroke]) => new Promise((done) => {
  const over = document.querySelector(".chart-plot .u-over");
  const { left, top, width, height } = over.getBoundingClientRect();
  const middle = { clientX: left + width / 2, clientY: top + height / 2 };
  const end = performance.now() + 1000 * seconds;
  let at = 0;
  requestAnimationFrame(function turn(now) {
    const deltaY = Math.floor(at++ / stroke) % 2 ? 25 : -25;
    over.dispatchEvent(new WheelEvent("wheel",
      { ...middle, deltaY, ctrlKey: true, bubbles: true, cancelable: true }));
    if (now < end) requestAnimationFrame(turn);
    else done();
  });
})
"""
_END = "() => { window.motion.isOver = true; return window.motion; }"


def zooming(page: Page) -> tuple[float, float]:
    """Pictures a second with ctrl and the wheel, and the longest time without one in ms.

    The page turns the wheel itself, once a frame: as many turns do not come through from outside.
    """
    _into_view(page)
    return _measured(page, lambda: page.evaluate(_TURN, [_SECONDS, _STROKE]))


def panning(page: Page) -> tuple[float, float]:
    """The same with shift and the mouse, on a chart that shows a part of the axis."""
    x, y = _into_view(page)
    page.keyboard.down("Control")
    for _ in range(_STROKE):
        page.mouse.wheel(0, -25)
    page.keyboard.up("Control")
    page.keyboard.down("Shift")
    page.mouse.down()

    def swing() -> None:
        end, at = time.monotonic() + _SECONDS, 0
        while time.monotonic() < end:
            page.mouse.move(x + _swing(at), y)
            at += 1

    found = _measured(page, swing)
    page.mouse.up()
    page.keyboard.up("Shift")
    return found


def _measured(page: Page, act: Callable[[], None]) -> tuple[float, float]:
    page.evaluate(_WATCH)
    began = time.monotonic()
    act()
    found = page.evaluate(_END)
    return found["pictures"] / (time.monotonic() - began), found["longest"]


def _into_view(page: Page) -> tuple[float, float]:
    """The middle of the first chart, with the mouse on it."""
    chart = page.locator(".chart-plot .u-over").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    return x, y


def _swing(at: int) -> float:
    way = at % _STROKE
    return 4.0 * (_STROKE - way if at // _STROKE % 2 else way)
