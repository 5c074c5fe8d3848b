"""Datasets of digits, made once, and what baselines without a network read of them."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from examples import digits
from examples.digits import KINDS
from examples.scenes.source import SPLITS, Order, handwritten, picked

TRAIN, VALIDATION = SPLITS
CACHE = Path(os.environ.get("SIHL_CACHE", Path.home() / ".cache" / "sihl")) / "bench"
SOURCES = Path(digits.__file__).parent


def dataset(kind: str, seed: int = 0, count: int | None = None) -> Path:
    """The folder of a dataset, made unless it is there.

    Args:
        kind: Of `examples.digits`.
        seed: Another seed, other images.
        count: Training images, and for validation a tenth as many; None: the kind's own numbers.
    """
    name = f"{kind}-{seed}-{count or 'all'}"
    held_out = None if count is None else max(4, count // 10)
    return kept(name, lambda folder: digits.make(kind, folder, count, None, seed, held_out))


def kept(name: str, make: Callable[[Path], object], place: Path | None = None) -> Path:
    """A folder that is made once, in another place first: what is there is whole.

    Args:
        name: The folder's.
        make: Fills it.
        place: Where it lies; by default among what this very code made.
    """
    place = place or made()
    folder = place / name
    if not folder.exists():
        unfinished = place / f".{name}-{os.getpid()}"
        unfinished.mkdir(parents=True)
        make(unfinished)
        try:
            unfinished.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(unfinished)
    return folder


@cache
def made() -> Path:
    """Where datasets lie that are made by the code as it stands: other code, other images."""
    sources = [*SOURCES.rglob("*.py"), *Path(__file__).parent.glob("*.py")]
    contents = b"".join(path.read_bytes() for path in sorted(sources))
    return CACHE / hashlib.sha256(contents).hexdigest()[:12]


def names(split: Path) -> list[str]:
    """A split's images, sorted."""
    return sorted(path.name for path in (split / "images").iterdir())


def pixels(split: Path, size: tuple[int, int]) -> NDArray[np.float32]:
    """A split's images at (width, height), [N, H, W, 3] in 0 to 1."""
    return np.stack(
        [
            np.asarray(Image.open(split / "images" / name).convert("RGB").resize(size), np.float32)
            / 255
            for name in names(split)
        ]
    )


def entries(split: Path) -> list[Any]:
    """What a split's annotations file says of each image, sorted by name."""
    found: dict[str, Any] = loaded(split / str(metadata(split)["annotations"]))
    return [found[name] for name in names(split)]


def metadata(split: Path) -> dict[str, Any]:
    """What a split is annotated for."""
    return dict(loaded(split / "metadata.yaml"))


def loaded(path: Path) -> Any:
    """A YAML file's content."""
    return yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def pages(split: Path, folder: str) -> list[list[NDArray[Any]]]:
    """The maps of a split, each as its pages, sorted by name."""
    found = []
    for path in sorted((split / folder).iterdir()):
        with Image.open(path) as file:
            every = []
            for page in range(getattr(file, "n_frames", 1)):
                file.seek(page)
                every.append(np.asarray(file))
            found.append(every)
    return found


def least_wrong(depths: NDArray[np.float64]) -> NDArray[np.float64]:
    """What has the least relative error in each column of depths [N, W]; 0 where all are unknown.

    That is their median, of which each counts as much as an error in it does: 1 / depth.
    """
    ordered = np.sort(depths, axis=0)
    weights = np.divide(1, ordered, out=np.zeros_like(ordered), where=ordered > 0)
    reached = weights.cumsum(0)
    middle = (reached >= reached[-1] / 2).argmax(0)
    return np.asarray(np.take_along_axis(ordered, middle[None], axis=0)[0])


def drawn_digits(split: Path, kind: str, seed: int) -> NDArray[np.int64]:
    """Which digit each image of an unlabelled dataset shows, which only its maker knows."""
    total, source = len(names(split)), handwritten(seed)[split.name]
    order = Order(split, split.name, source, total, KINDS[kind].size, seed)
    return np.asarray(source.labels[list(picked(len(source.images), total, order.rng()))])
