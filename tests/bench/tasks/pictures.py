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
SIDE = 96  # pixels of a part of the motorcycle
PARTS = {TRAIN: 800, VALIDATION: 80}
NORMAL, ODD = "grass", ("brick", "gravel")
PATCH = 64  # pixels of a part of a texture
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
    """A dataset of depth: parts of the scene's left half, and of its right half."""
    source = pictures()
    image = np.asarray(Image.open(source / "motorcycle_left.png").convert("RGB"))
    depth = distances(np.load(source / "motorcycle_disp.npz")["arr_0"])
    middle = image.shape[1] // 2
    halves = {TRAIN: slice(0, middle), VALIDATION: slice(middle, None)}

    def write(folder: Path) -> None:
        for number, (split, columns) in enumerate(halves.items()):
            rng = np.random.default_rng(number)
            (folder / split / "depth").mkdir(parents=True)
            scene, truth = image[:, columns], depth[:, columns]
            for name, area in parts(scene.shape, SIDE, PARTS[split], rng):
                write_image(folder / split, f"{name}.jpg", scene[area])
                far = np.ascontiguousarray(truth[area])
                Image.fromarray(far).save(folder / split / "depth" / f"{name}.png")
            write_metadata(
                folder / split,
                {"task": "depth estimation", "range": list(RANGE), "annotations": "depth"},
            )

    return kept("motorcycle", write)


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
    shape: tuple[int, ...], side: int, count: int, rng: np.random.Generator
) -> Iterator[tuple[str, tuple[slice, slice]]]:
    """Names and places of square parts of a picture, wherever they fall."""
    for number in range(count):
        top, left = (int(rng.integers(0, length - side + 1)) for length in shape[:2])
        yield f"{number:04d}", (slice(top, top + side), slice(left, left + side))


REAL = {"motorcycle": motorcycle, "textures": textures}
