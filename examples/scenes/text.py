"""Lines of digits to be read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from examples.scenes.compose import Scene, a_color, a_ground
from examples.scenes.files import write_annotations, write_image
from examples.scenes.glyphs import Drawn, Glyph, drawn, glyph
from examples.scenes.source import SCENE, Digits, Order, picked

LONGEST = 6
EMPTY_SHARE = 0.03  # of lines have no digit
ASPECT = 4  # a line is so many times wider than high
TURN = 8  # degrees to either side
MARGIN = 2  # pixels


def text(order: Order) -> dict[str, object]:
    """Lines of up to six digits; `size` is their height."""
    picks = picked(len(order.digits.images), order.total * LONGEST, order.rng())
    strings: dict[str, object] = {}
    for index, name in enumerate(order.names()):
        rng = order.rng(SCENE, index)
        length = 0 if rng.random() < EMPTY_SHARE else int(rng.integers(1, LONGEST + 1))
        chosen = [next(picks) for _ in range(length)]
        line = _line(order.digits, chosen, order.size, rng)
        write_image(order.folder, name, line.image)
        strings[name] = "".join(str(digit.label) for digit in line.digits)
    write_annotations(order.folder / "annotations.yaml", strings)
    return {
        "task": "text recognition",
        "tokens": [str(digit) for digit in range(10)],
        "annotations": "annotations.yaml",
    }


def _line(digits: Digits, picks: Sequence[int], height: int, rng: np.random.Generator) -> Scene:
    """Digits from left to right on a line of [height, ASPECT * height]."""
    width = ASPECT * height
    ground, color = a_ground((height, width), rng), a_color(rng)
    angles, gaps = rng.uniform(-TURN, TURN, len(picks)), rng.uniform(1, 5, len(picks))
    side = round(height * rng.uniform(0.8, 1.05))
    while True:
        glyphs = [glyph(digits, pick, side) for pick in picks]
        extents = np.array(
            [np.ptp(each.turned(angle), axis=0) for each, angle in zip(glyphs, angles, strict=True)]
        ).reshape(-1, 2)
        free = width - 2 * MARGIN - extents[:, 0].sum() - gaps[:-1].sum()
        if free >= 0:
            break
        side -= 1
    left = MARGIN + rng.uniform(0, free) + np.cumsum([0, *(extents[:-1, 0] + gaps[:-1])])
    placed = [
        _placed(*each, color, (height, width), rng)
        for each in zip(glyphs, angles, left, extents, strict=False)
    ]
    return Scene(ground, tuple(placed))


def _placed(
    upright: Glyph,
    angle: float,
    left: float,
    extent: np.ndarray,
    color: np.ndarray,
    shape: tuple[int, int],
    rng: np.random.Generator,
) -> Drawn:
    spare = max(0.0, (shape[0] - extent[1]) / 2)
    middle = shape[0] / 2 + rng.uniform(-spare, spare)
    return drawn(upright, float(angle), (left + extent[0] / 2, middle), color, shape)
