"""Random numbers as a pure function of where they are needed.

They come from a counter-based generator (Philox: Salmon et al., "Parallel random numbers: as easy
as 1, 2, 3", SC 2011), whose stream NumPy guarantees across releases: a resumed job sees the images
that an uninterrupted one would have seen, whichever release resumes it.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What numbers are drawn for: streams of one seed have nothing in common."""

    AUGMENTATION = 0
    SECOND_VIEW = 1
    MASK = 2
    BLEND = 3
    PERMUTATION = 2**62
    LABELLED_PERMUTATION = 2**62 + 1


def uniform(
    count: int, seed: int, epoch: int, index: int, stream: Stream = Stream.AUGMENTATION
) -> np.ndarray:
    """float64 [count] in [0, 1), a function of the other arguments, each below 2^63."""
    return np.asarray((_raw(count, seed, epoch, index, stream) >> np.uint64(11)) * 2.0**-53)


def permutation(seed: int, epoch: int, size: int, stream: Stream) -> np.ndarray:
    """int64 [size]: an order of so many things, another one in each epoch."""
    # Sorted by random keys: only the generator's raw stream is guaranteed across NumPy releases.
    return np.argsort(_raw(size, seed, epoch, 0, stream), kind="stable")


def _raw(count: int, seed: int, epoch: int, index: int, stream: Stream) -> np.ndarray:
    key = np.array((seed, stream), dtype=np.uint64)
    position = np.array((0, 0, epoch, index), dtype=np.uint64)
    return np.asarray(np.random.Philox(key=key, counter=position).random_raw(count))
