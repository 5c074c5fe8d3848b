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
_END = "() => { window.motion.isOver = true; return window.motion; }"


def zooming(page: Page) -> tuple[float, float]:
    """Pictures a second with ctrl and the wheel, and the longest time without one in ms."""
    _into_view(page)
    page.keyboard.down("Control")
    found = _measured(page, lambda at: page.mouse.wheel(0, -25 if _is_forth(at) else 25))
    page.keyboard.up("Control")
    return found


def panning(page: Page) -> tuple[float, float]:
    """The same with shift and the mouse, on a chart that shows a part of the axis."""
    x, y = _into_view(page)
    page.keyboard.down("Control")
    for _ in range(_STROKE):
        page.mouse.wheel(0, -25)
    page.keyboard.up("Control")
    page.keyboard.down("Shift")
    page.mouse.down()
    found = _measured(page, lambda at: page.mouse.move(x + _swing(at), y))
    page.mouse.up()
    page.keyboard.up("Shift")
    return found


def _measured(page: Page, act: Callable[[int], None]) -> tuple[float, float]:
    page.evaluate(_WATCH)
    began, at = time.monotonic(), 0
    while time.monotonic() - began < _SECONDS:
        act(at)
        at += 1
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


def _is_forth(at: int) -> bool:
    return at // _STROKE % 2 == 0


def _swing(at: int) -> float:
    way = at % _STROKE
    return 4.0 * (way if _is_forth(at) else _STROKE - way)
