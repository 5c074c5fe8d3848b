"""Puts digits on a ground: later ones lie in front of earlier ones."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from examples.scenes.glyphs import Drawn, Glyph, drawn, glyph
from examples.scenes.source import SCENE, Digits, Order

MOST = 5  # digits in a scene
EMPTY_SHARE = 0.05  # of scenes have no digit
VISIBLE = 0.85  # of a digit's ink is neither hidden nor outside
TRIES = 20
SHADOW = 0.6  # how much a digit darkens what is right beside its strokes


@dataclass(frozen=True)
class Layout:
    """How the digits of a scene lie.

    Args:
        turn: They are turned by at most so many degrees, to either side.
        sides: Their smallest and largest size, as shares of the scene's.
        outside: Share of digits that may lie across the scene's border.
        fewest: At least so many digits.
    """

    turn: float = 45
    sides: tuple[float, float] = (0.26, 0.44)
    outside: float = 0.0
    fewest: int = 0


@dataclass(frozen=True)
class Scene:
    """An image and all that is known of it.

    Args:
        ground: What is behind the digits, float [H, W, 3], 0 to 255.
        digits: From the hindmost to the foremost.
    """

    ground: np.ndarray
    digits: tuple[Drawn, ...]

    @property
    def ids(self) -> np.ndarray:
        """What is seen at each pixel, uint8 [H, W]: 0 the ground, n the n-th digit."""
        return visible(self.digits, self.ground.shape[:2])

    @property
    def image(self) -> np.ndarray:
        """The picture, uint8 [H, W, 3]."""
        return painted(self.ground, self.digits)


def scene(order: Order, index: int, layout: Layout) -> Scene:
    """The scene of an index: the same in every dataset of the same seed, size and layout."""
    rng = order.rng(SCENE, index)
    few = max(1, layout.fewest)
    count = int(rng.integers(few, MOST + 1))
    if layout.fewest == 0 and rng.random() < EMPTY_SHARE:
        count = 0
    shape = (order.size, order.size)
    ground = a_ground(shape, rng)
    digits = arranged(_glyphs(order.digits, order.size, count, layout, rng), shape, layout, rng)
    return Scene(ground, tuple(digits.values()))


def arranged(
    glyphs: Sequence[tuple[Glyph, np.ndarray]],
    shape: tuple[int, int],
    layout: Layout,
    rng: np.random.Generator,
) -> dict[int, Drawn]:
    """Digits and their colors, by number, at places where all are seen; who finds none is left out.

    The first that does not lie across the border always finds one.
    """
    placed: dict[int, Drawn] = {}
    for number, (upright, color) in enumerate(glyphs):
        degrees = float(rng.uniform(-layout.turn, layout.turn))
        across = rng.random() < layout.outside
        for _ in range(TRIES):
            center = a_place(upright, degrees, shape, across, rng)
            wanted = placed | {number: drawn(upright, degrees, center, color, shape)}
            if _all_seen(list(wanted.values()), shape):
                placed = wanted
                break
    return placed


def a_place(
    upright: Glyph,
    degrees: float,
    shape: tuple[int, int],
    across: bool,
    rng: np.random.Generator,
) -> np.ndarray:
    """A point [x, y] for a digit, such that its turned box is inside.

    Where it may lie `across` the border, up to three tenths of the box are outside; a box that is
    larger than the image is put in its middle.
    """
    corners = upright.turned(degrees)
    spare = np.ptp(corners, axis=0) * (0.3 if across else 0)
    low = -corners.min(axis=0) - spare
    high = np.array(shape[::-1]) - corners.max(axis=0) + spare
    fits = low <= high
    middle = (low + high) / 2
    return np.asarray(rng.uniform(np.where(fits, low, middle), np.where(fits, high, middle)))


def visible(digits: Sequence[Drawn], shape: tuple[int, ...]) -> np.ndarray:
    """Who is in front at each pixel: uint8 [H, W], 0 nobody, n the n-th digit."""
    ids = np.zeros(shape, np.uint8)
    for number, digit in enumerate(digits, start=1):
        ids[digit.mask] = number
    return ids


def painted(ground: np.ndarray, digits: Sequence[Drawn]) -> np.ndarray:
    """The picture of digits on a ground, uint8 [H, W, 3]."""
    picture = ground.astype(float)
    for digit in digits:
        ink = Image.fromarray((digit.coverage * 255).astype(np.uint8))
        shadow = np.asarray(ink.filter(ImageFilter.MaxFilter(3))) / 255 * SHADOW
        picture *= 1 - shadow[..., None]
        coverage = digit.coverage[..., None]
        picture += coverage * (digit.color - picture)
    return np.asarray(np.clip(picture.round(), 0, 255).astype(np.uint8))


def a_ground(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A dark ground that runs from one color to another, with noise: float [H, W, 3]."""
    one, other = rng.uniform(10, 90, (2, 3))
    noise = rng.normal(0, 8, (*shape, 3))
    return np.asarray(one + ramp(shape, rng)[..., None] * (other - one) + noise)


def ramp(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """From 0 to 1 in a random direction: [H, W]."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * columns + np.sin(angle) * rows
    return np.asarray((along - along.min()) / np.ptp(along))


def colors(count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Bright inks of different hues: each float [3], 0 to 255."""
    hues = rng.random() + np.arange(count) / max(1, count) + rng.uniform(0, 0.08, count)
    return [
        255 * np.array(colorsys.hsv_to_rgb(hue % 1, *rng.uniform((0.25, 0.85), (0.75, 1))))
        for hue in hues
    ]


def a_color(rng: np.random.Generator) -> np.ndarray:
    """A bright ink of any hue: float [3], 0 to 255."""
    return colors(1, rng)[0]


def _glyphs(
    digits: Digits, size: int, count: int, layout: Layout, rng: np.random.Generator
) -> list[tuple[Glyph, np.ndarray]]:
    low, high = (round(size * share) for share in layout.sides)
    picks = rng.choice(len(digits.images), count, replace=False)
    return [
        (glyph(digits, pick, int(rng.integers(low, high + 1))), color)
        for pick, color in zip(picks, colors(count, rng), strict=True)
    ]


def _all_seen(digits: Sequence[Drawn], shape: tuple[int, int]) -> bool:
    ids = visible(digits, shape)
    seen = np.bincount(ids.ravel(), minlength=len(digits) + 1)[1:]
    return all(seen >= VISIBLE * np.array([digit.area for digit in digits]))
