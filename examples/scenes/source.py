"""Where the digits come from, and what is asked of a split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPLITS = ("train", "validation")
HELD_OUT_SHARE = 0.2  # of the 1,797 digits, for validation images
SCENE, ANNOTATION, ANOMALY, LABELLED = 1, 2, 3, 4  # streams of random numbers, apart from another


@dataclass(frozen=True)
class Digits:
    """Handwritten digits: uint8 [N, 8, 8], ink is bright; and which each is, 0 to 9."""

    images: np.ndarray
    labels: np.ndarray

    def only(self, labels: range) -> Digits:
        """Those of some labels."""
        kept = np.isin(self.labels, labels)
        return Digits(self.images[kept], self.labels[kept])


@dataclass(frozen=True)
class Options:
    """What the format leaves free.

    Args:
        labelled: Share of the training images that `partly` annotates.
        shrink: Maps and masks are this many times smaller than their image.
        channels_first: Panoptic maps keep one plane a channel.
        rim: Pixels around each digit that semantic and panoptic maps ignore.
    """

    labelled: float = 0.05
    shrink: int = 1
    channels_first: bool = False
    rim: int = 0


@dataclass(frozen=True)
class Order:
    """A split to be made: `total` images of `size` pixels in `folder`, of these digits."""

    folder: Path
    split: str
    digits: Digits
    total: int
    size: int
    seed: int
    options: Options = field(default_factory=Options)

    def rng(self, *stream: int) -> np.random.Generator:
        """The split's random numbers, or one of its streams."""
        return np.random.default_rng([self.seed, SPLITS.index(self.split), *stream])

    def names(self) -> list[str]:
        """The images' names, in order."""
        return [f"{index:05d}.jpg" for index in range(self.total)]


@cache
def handwritten(seed: int) -> dict[str, Digits]:
    """The digits of each split; the seed shuffles which is where."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = (data.images * 255 / 16).round().astype(np.uint8)
    order = np.random.default_rng(seed).permutation(len(images))
    border = round(len(order) * HELD_OUT_SHARE)
    parts = {"validation": order[:border], "train": order[border:]}
    return {name: Digits(images[part], data.target[part]) for name, part in parts.items()}


def picked(available: int, total: int, rng: np.random.Generator) -> Iterator[int]:
    """`total` indices, each of the available ones before any again."""
    rounds = -(-total // available)
    return iter(np.concatenate([rng.permutation(available) for _ in range(max(1, rounds))])[:total])


def enlarged(digit: np.ndarray, side: int) -> np.ndarray:
    """A square image at another size: uint8 [side, side]."""
    return np.asarray(Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC))
