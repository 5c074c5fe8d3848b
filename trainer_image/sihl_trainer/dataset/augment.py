"""Augmentation: a pure function of (seed, epoch, index).

The numbers come from a counter-based generator (Philox: Salmon et al., "Parallel random numbers:
as easy as 1, 2, 3", SC 2011), whose stream NumPy guarantees across releases: a resumed job sees
the images that an uninterrupted one would have seen, whichever release resumes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sihl_api.trainingjob import Augmentation

_DRAWS = 5


@dataclass(frozen=True)
class Change:
    """What happens to one image in one epoch; by default nothing.

    Args:
        mirror: Left to right, after it was placed in its canvas.
        shrink: Factor on the letterbox's scale, in (0, 1].
        position: Share of the padding left of and above the image.
        brightness: Factor on each value.
    """

    mirror: bool = False
    shrink: float = 1.0
    position: tuple[float, float] = (0.5, 0.5)
    brightness: float = 1.0


def uniform(count: int, *counter: int) -> np.ndarray:
    """float64 [count] in [0, 1), a function of up to three numbers below 2^63."""
    key = np.array((counter[0], 0), dtype=np.uint64)
    position = np.array((0, 0, *counter[1:], *(0,) * (3 - len(counter))), dtype=np.uint64)
    raw = np.random.Philox(key=key, counter=position).random_raw(count)
    return np.asarray((raw >> np.uint64(11)) * 2.0**-53)


def draw(settings: Augmentation, seed: int, epoch: int, index: int) -> Change:
    """The change to the image with `index` in `epoch`."""
    mirror, shrink, left, top, brightness = uniform(_DRAWS, seed, epoch, index).tolist()
    return Change(
        mirror=settings.horizontal_flip and mirror < 0.5,
        shrink=1 - settings.scale * shrink,
        position=(left, top) if settings.scale else (0.5, 0.5),
        brightness=1 + settings.brightness * (2 * brightness - 1),
    )
