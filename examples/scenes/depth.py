"""Digits that float in fog before a slanted wall, with how far away each pixel is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from examples.scenes.compose import Layout, Scene, arranged, colors, ramp
from examples.scenes.files import write_image
from examples.scenes.glyphs import glyph
from examples.scenes.source import ANNOTATION, SCENE, Order

RANGE = (1000, 6000)  # millimetres, which are also the maps' values
FARTHEST_DIGIT = 2800
WALL = (3200, 5900)
SIDE = 0.65  # of the image's: that of a digit at the near end of the range
FOG = 2500  # millimetres after which light is down to a third
MOST = 5
LAYOUT = Layout(turn=30)
MIXED = (0.3, 0.7)  # a pixel that a digit covers by so much is neither its nor the wall's
HOLE = 0.12  # of the image's side, as a sensor has them in every second map


def depth(order: Order) -> dict[str, object]:
    """Scenes with a 16-bit map each, 0 where nothing is known."""
    (order.folder / "depth").mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(order.names()):
        scene, far = _scene(order, index)
        write_image(order.folder, name, scene.image)
        values = _measured(scene, far, order.rng(ANNOTATION, index))
        step = order.options.shrink
        small = np.ascontiguousarray(values[step // 2 :: step, step // 2 :: step])
        Image.fromarray(small).save((order.folder / "depth" / Path(name).stem).with_suffix(".png"))
    return {"task": "depth estimation", "range": list(RANGE), "annotations": "depth"}


def _scene(order: Order, index: int) -> tuple[Scene, np.ndarray]:
    """A scene, and the distance [H, W] of each of its pixels in millimetres."""
    rng = order.rng(SCENE, index)
    shape = (order.size, order.size)
    one, other = rng.uniform(*WALL, 2)
    far = one + ramp(shape, rng) * (other - one)
    wall = 255 * rng.uniform(0.8, 1, 3) * _light(far)[..., None] + rng.normal(0, 4, (*shape, 3))
    # The far ones first: near ones hide them.
    distances = np.sort(rng.uniform(RANGE[0], FARTHEST_DIGIT, int(rng.integers(1, MOST + 1))))[::-1]
    picks = rng.choice(len(order.digits.images), len(distances), replace=False)
    glyphs = [
        (
            glyph(order.digits, pick, round(order.size * SIDE * RANGE[0] / distance)),
            color * _light(distance),
        )
        for pick, distance, color in zip(picks, distances, colors(len(distances), rng), strict=True)
    ]
    digits = arranged(glyphs, shape, LAYOUT, rng)
    scene = Scene(wall, tuple(digits.values()))
    seen = np.array([0, *distances[list(digits)]])
    return scene, np.where(scene.ids > 0, seen[scene.ids], far)


def _measured(scene: Scene, far: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The map, uint16 [H, W]: 0 at the digits' edges, and in a hole in every second one."""
    values = far.round().astype(np.uint16)
    for digit in scene.digits:
        values[(digit.coverage > MIXED[0]) & (digit.coverage < MIXED[1])] = 0
    if rng.random() < 0.5:
        side = round(len(values) * HOLE)
        top, left = rng.integers(0, len(values) - side + 1, 2)
        values[top : top + side, left : left + side] = 0
    return values


def _light(distance: float | np.ndarray) -> np.ndarray:
    """What of the light is left at a distance, 1 at the near end of the range."""
    return np.exp((RANGE[0] - np.asarray(distance)) / FOG)
