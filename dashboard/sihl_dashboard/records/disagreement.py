"""How far jobs disagree on an image, as far as their drawings show it."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sihl_dashboard.records.errors import MissingError
from sihl_dashboard.records.pictures import Picture, SameImage
from sihl_dashboard.records.refs import JobRef

_MOST_PIXELS = 1 << 24
_LOOKED_AT = 1 << 18
_FURTHEST = 127.5
_MOST_KNOWN = 10_000


class Disagreements:
    """Tells them, and computes each once: a picture never changes. Thread-safe.

    Args:
        read: A picture's file; raises MissingError.
        pool: Reads several at a time; may not be the one that asks.
    """

    def __init__(self, read: Callable[[JobRef, Picture], bytes], pool: Executor) -> None:
        self._read = read
        self._pool = pool
        self._known: dict[tuple[tuple[JobRef, Picture], ...], float | None] = {}
        self._lock = threading.Lock()

    def told(self, image: SameImage) -> SameImage:
        """The image with it."""
        key = tuple(sorted(image.pictures.items()))
        with self._lock:
            if key in self._known:
                return replace(image, disagreement=self._known[key])
        files = self._pool.map(lambda each: self._file(*each), key)
        found = disagreement(file for file in files if file is not None)
        with self._lock:
            while len(self._known) >= _MOST_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[key] = found
        return replace(image, disagreement=found)

    def _file(self, ref: JobRef, picture: Picture) -> bytes | None:
        try:
            return self._read(ref, picture)
        except MissingError:
            return None


def disagreement(drawings: Iterable[bytes]) -> float | None:
    """How differently several jobs' drawings of one image look; None: fewer than two can be read.

    It is the standard deviation between the drawings, pixel by pixel and channel by channel,
    averaged over all of them: 0 where they are alike, 1 where half of the jobs draw black what
    the others draw white. Image and target are alike in each and add nothing, so that what is left
    is the predictions, whatever the task: a box that moved, a label that changed, another depth.
    It is a measure for the eye, to look at first what differs most, and none of a score: a wide
    box that is wrong counts for more than a small one, and drawings of different sizes (of jobs
    with different input sizes) are brought to the smallest, at which their edges differ a little.

    Args:
        drawings: PNG files, one a job; what is none, or larger than 16 megapixels, is left out.
    """
    images = [image for image in map(_opened, drawings) if image is not None]
    if len(images) < 2:
        return None
    size = _common([image.size for image in images])
    count, total, squares = 0, _zeros(size), _zeros(size)
    for image in images:
        try:
            pixels = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BOX), np.float64)
        except (OSError, ValueError, SyntaxError):  # torn behind its header
            continue
        count += 1
        total += pixels
        squares += pixels * pixels
    if count < 2:
        return None
    variance = np.maximum(squares / count - (total / count) ** 2, 0.0)
    return float(np.sqrt(variance).mean() / _FURTHEST)


def _opened(file: bytes) -> Image.Image | None:
    """Only the header is read: what it says of the size decides whether more of it is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(file), formats=["PNG"])
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return image if image.width * image.height <= _MOST_PIXELS else None


def _common(sizes: list[tuple[int, int]]) -> tuple[int, int]:
    """The smallest of the sizes, and small enough to be quick."""
    width, height = min(sizes, key=lambda size: size[0] * size[1])
    scale = min(1.0, (_LOOKED_AT / (width * height)) ** 0.5)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _zeros(size: tuple[int, int]) -> NDArray[np.float64]:
    return np.zeros((size[1], size[0], 3))
