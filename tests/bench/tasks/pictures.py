"""Real pictures, as datasets: a stereo scene with its depth, and textures.

They come from scikit-image's wheel (BSD), which is fetched for it and kept in the cache.
Middlebury's motorcycle: Scharstein et al., "High-Resolution Stereo Datasets with Subpixel-Accurate
Ground Truth", GCPR 2014.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from examples.scenes.files import write_image, write_metadata
from tests.bench.tasks.data import CACHE, TRAIN, VALIDATION, kept

WHEEL = "scikit-image==0.26.0"
FOCAL_LENGTH, BASELINE, OFFSET = 994.978, 193.001, 31.086
"""Pixels, millimetres, pixels: the scene's calibration."""
RANGE = (2000, 5200)  # millimetres
PART = (240, 96)  # pixels of a part of the motorcycle, high and wide
PARTS = {TRAIN: 2000, VALIDATION: 200}
STRIPS, MARGIN = 7, 9
"""Upright strips of the scene, which train and validate in turn; and the pixels between two."""
NORMAL, ODD = "grass", ("brick", "gravel")
PATCH = (64, 64)  # pixels of a part of a texture
BORDER = 384  # of 512 columns are for training


def pictures() -> Path:
    """The folder with scikit-image's pictures.

    Raises:
        subprocess.CalledProcessError: The registry is away.
    """

    def fetch(folder: Path) -> None:
        uv = Path(sys.executable).with_name("uv")
        options = ["--quiet", "--no-deps", "--target", str(folder)]
        subprocess.run([uv, "pip", "install", *options, WHEEL], check=True)

    return kept(WHEEL, fetch, CACHE) / "skimage" / "data"


def motorcycle() -> Path:
    """A dataset of depth: parts of the scene's strips, by turns for training and for validation.

    Both see what is near and what is far, and something of each thing; no pixel is in both. Of two
    halves the right one has a wall behind the motorcycle that is nearer than the left one's.
    Parts are upright, since the floor's distance is told by what is above and below.
    """
    source = pictures()
    image = np.asarray(Image.open(source / "motorcycle_left.png").convert("RGB"))
    depth = distances(np.load(source / "motorcycle_disp.npz")["arr_0"])
    strips = upright(image.shape[1], STRIPS, MARGIN)
    split_of = {TRAIN: strips[0::2], VALIDATION: strips[1::2]}

    def write(folder: Path) -> None:
        for number, (split, chosen) in enumerate(split_of.items()):
            rng = np.random.default_rng(number)
            (folder / split / "depth").mkdir(parents=True)
            shape = (image.shape[0], chosen[0].stop - chosen[0].start)
            for name, (rows, columns) in parts(shape, PART, PARTS[split], rng):
                strip = chosen[int(name) % len(chosen)]
                scene, truth = image[rows, strip][:, columns], depth[rows, strip][:, columns]
                write_image(folder / split, f"{name}.jpg", scene)
                far = np.ascontiguousarray(truth)
                Image.fromarray(far).save(folder / split / "depth" / f"{name}.png")
            write_metadata(
                folder / split,
                {"task": "depth estimation", "range": list(RANGE), "annotations": "depth"},
            )

    return kept("motorcycle", write)


def upright(width: int, count: int, margin: int) -> list[slice]:
    """Columns of strips of one width, as wide as fit, with `margin` columns between two."""
    wide = (width - (count - 1) * margin) // count
    return [slice(left, left + wide) for left in range(0, count * (wide + margin), wide + margin)]


def distances(disparity: NDArray[Any]) -> NDArray[np.uint16]:
    """Millimetres, 0 where nothing is known, of disparities in pixels."""
    with np.errstate(invalid="ignore"):
        found = FOCAL_LENGTH * BASELINE / (disparity + OFFSET)
    known = np.isfinite(disparity) & (found >= RANGE[0]) & (found <= RANGE[1])
    return np.where(known, found, 0).round().astype(np.uint16)


def textures() -> Path:
    """A dataset of normal patches of one texture; `anomalies` are patches of others."""
    source = pictures()
    normal = np.asarray(Image.open(source / f"{NORMAL}.png"))
    areas = {TRAIN: normal[:, :BORDER], VALIDATION: normal[:, BORDER:]}
    counts = {TRAIN: 1000, VALIDATION: 100}

    def write(folder: Path) -> None:
        rng = np.random.default_rng(0)
        for split, texture in areas.items():
            for name, area in parts(texture.shape, PATCH, counts[split], rng):
                write_image(folder / split, f"{name}.jpg", texture[area])
        for other in ODD:
            texture = np.asarray(Image.open(source / f"{other}.png"))
            for name, area in parts(texture.shape, PATCH, counts[VALIDATION] // len(ODD), rng):
                write_image(folder / "anomalies", f"{other}-{name}.jpg", texture[area])

    return kept("textures", write)


def parts(
    shape: tuple[int, ...], size: tuple[int, int], count: int, rng: np.random.Generator
) -> Iterator[tuple[str, tuple[slice, slice]]]:
    """Names and places of parts of a picture, (height, width), wherever they fall."""
    for number in range(count):
        top, left = (
            int(rng.integers(0, length - side + 1))
            for length, side in zip(shape, size, strict=False)
        )
        yield f"{number:04d}", (slice(top, top + size[0]), slice(left, left + size[1]))


REAL = {"motorcycle": motorcycle, "textures": textures}
