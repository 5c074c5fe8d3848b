"""Normal scenes to learn from, and odd ones with where they are odd, to measure what was learnt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image

from examples.scenes.compose import Layout, Scene, a_color, painted, scene
from examples.scenes.files import write_annotations, write_image
from examples.scenes.glyphs import rotation
from examples.scenes.source import ANOMALY, Order

LAYOUT = Layout(turn=20, fewest=1)
SEEN = 24  # of 255: what changes a pixel by less is no anomaly


def normal(order: Order) -> None:
    """Images alone; beside those of validation, `anomalies` with odd ones and their masks."""
    for index, name in enumerate(order.names()):
        write_image(order.folder, name, scene(order, index, LAYOUT).image)
    if order.split == "validation":
        _write_anomalies(order)


def _write_anomalies(order: Order) -> None:
    """One a normal image: masks are 255 where it is odd; `kinds.yaml` says in which way."""
    folder = order.folder.parent / "anomalies"
    (folder / "masks").mkdir(parents=True, exist_ok=True)
    kinds = {}
    for index, name in enumerate(order.names()):
        rng = order.rng(ANOMALY, index)
        kind = list(ODD)[index % len(ODD)]
        plain = scene(order, index, LAYOUT)
        picture = ODD[kind](plain, rng)
        changed = np.abs(picture.astype(int) - plain.image).max(axis=2) >= SEEN
        write_image(folder, name, picture)
        mask = Image.fromarray(changed.astype(np.uint8) * 255)
        mask.save((folder / "masks" / name).with_suffix(".png"))
        kinds[name] = kind
    write_annotations(folder / "kinds.yaml", kinds)


def cut(plain: Scene, rng: np.random.Generator) -> np.ndarray:
    """A digit has a gap right through its ink."""
    number = int(rng.integers(len(plain.digits)))
    digit = plain.digits[number]
    rows, columns = np.mgrid[: digit.coverage.shape[0], : digit.coverage.shape[1]] + 0.5
    height = np.linalg.norm(digit.quad[3] - digit.quad[0])
    ink = np.argwhere(plain.ids == number + 1) + 0.5
    inner = np.argsort(np.linalg.norm(ink - digit.quad.mean(axis=0)[::-1], axis=1))
    row, column = ink[rng.choice(inner[: len(ink) // 2])]
    angle = rng.uniform(0, np.pi)
    away = np.abs(np.cos(angle) * (columns - column) + np.sin(angle) * (rows - row))
    coverage = np.where(away < 0.12 * height, 0, digit.coverage).astype(np.float32)
    digits = list(plain.digits)
    digits[number] = replace(digit, coverage=coverage)
    return painted(plain.ground, digits)


def blob(plain: Scene, rng: np.random.Generator) -> np.ndarray:
    """An ellipse of one color lies on the scene."""
    inside = _ellipse(plain, rng, (0.05, 0.12)) < 1
    return np.where(inside[..., None], a_color(rng).astype(np.uint8), plain.image)


def texture(plain: Scene, rng: np.random.Generator) -> np.ndarray:
    """The ground is striped somewhere."""
    inside = _ellipse(plain, rng, (0.12, 0.2)) < 1
    rows, columns = np.mgrid[: inside.shape[0], : inside.shape[1]]
    along = np.array([columns, rows]).T @ rotation(rng.uniform(0, 180))[0]
    stripes = np.where(np.sin(2 * np.pi * along.T / rng.uniform(4, 7)) > 0, 70, -40)
    odd = np.clip(plain.ground + stripes[..., None] * inside[..., None], 0, 255)
    return painted(odd, plain.digits)


def scratch(plain: Scene, rng: np.random.Generator) -> np.ndarray:
    """A thin bright line crosses the scene."""
    height, width = plain.ground.shape[:2]
    rows, columns = np.mgrid[:height, :width] + 0.5
    angle, bend = rng.uniform(0, np.pi), rng.uniform(-0.004, 0.004)
    row, column = rng.uniform(0.25, 0.75, 2) * (height, width)
    across = np.cos(angle) * (columns - column) + np.sin(angle) * (rows - row)
    along = np.cos(angle) * (rows - row) - np.sin(angle) * (columns - column)
    on = (np.abs(across - bend * along**2) < 0.9) & (np.abs(along) < rng.uniform(0.15, 0.4) * width)
    return np.where(on[..., None], np.uint8(230), plain.image)


ODD: dict[str, Callable[[Scene, np.random.Generator], np.ndarray]] = {
    "cut": cut,
    "blob": blob,
    "texture": texture,
    "scratch": scratch,
}
"""In which ways a scene can be odd."""


def _ellipse(plain: Scene, rng: np.random.Generator, radii: tuple[float, float]) -> np.ndarray:
    """How far each pixel is from an ellipse's middle, [H, W]: less than 1 inside it."""
    height, width = plain.ground.shape[:2]
    rows, columns = np.mgrid[:height, :width] + 0.5
    center = rng.uniform(0.15, 0.85, 2) * (width, height)
    points = np.stack([columns, rows], axis=-1) - center
    scaled = points @ rotation(rng.uniform(0, 180)) / (rng.uniform(*radii, 2) * width)
    return np.asarray(np.linalg.norm(scaled, axis=-1))
