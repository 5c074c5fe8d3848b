"""A digit at the size and angle at which it is drawn; points follow it exactly.

Points are [x, y] in pixels from the image's upper left corner: pixel (0, 0) covers [0, 1) in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from examples.scenes.source import Digits, enlarged

KEYPOINTS = ("top", "right", "bottom", "left")
INK = 0.5  # covered by at least this much, a pixel is the digit's
EDGE = 0.42  # an enlarged 8x8 picture is ink where it is brighter
SHARPNESS = 2.0  # how steeply ink begins at its edge
BAND = 0.12  # of a digit's extent: ink that is this close to its end gives the end's keypoint


@dataclass(frozen=True)
class Glyph:
    """An upright digit.

    Args:
        label: Which it is.
        coverage: float32 [side, side], 0 to 1: how much of a pixel is ink.
        corners: Those of its ink's tight box, [4, 2], clockwise from the upper left.
        ink: The middle of each pixel that is ink, [N, 2].
    """

    label: int
    coverage: np.ndarray
    corners: np.ndarray
    ink: np.ndarray

    @property
    def center(self) -> np.ndarray:
        """What it is turned around: its box's middle."""
        return np.asarray(self.corners.mean(axis=0))

    @property
    def area(self) -> int:
        """How many pixels are ink."""
        return len(self.ink)

    def turned(self, degrees: float) -> np.ndarray:
        """The corners after a turn (clockwise) around the center, relative to it: [4, 2]."""
        return np.asarray((self.corners - self.center) @ rotation(degrees).T)


@dataclass(frozen=True)
class Drawn:
    """A digit at its place in an image of [H, W].

    Args:
        label: Which it is.
        degrees: How far it is turned, clockwise.
        color: Its ink's, float [3], 0 to 255.
        coverage: float32 [H, W], 0 to 1: of the whole digit, also where others hide it.
        area: How many pixels of ink it has, also outside the image.
        quad: Its turned box, [4, 2], clockwise from the upright digit's upper left.
        keypoints: The ends of its turned ink, also outside the image: [4, 2], in the order of
            `KEYPOINTS`.
    """

    label: int
    degrees: float
    color: np.ndarray
    coverage: np.ndarray
    area: int
    quad: np.ndarray
    keypoints: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """Where its ink is: bool [H, W]."""
        return np.asarray(self.coverage >= INK)


def rotation(degrees: float) -> np.ndarray:
    """The matrix [2, 2] of a turn that is clockwise where y goes down."""
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    return np.array([[cosine, -sine], [sine, cosine]])


def glyph(digits: Digits, pick: int, side: int) -> Glyph:
    """A digit, enlarged so that its ten rows (a margin around its eight) are `side` pixels."""
    padded = np.pad(digits.images[pick], 1)  # a stroke at the border ends, and is not cut off
    bright = enlarged(padded, side).astype(np.float32) / 255
    coverage = np.clip((bright - EDGE) * SHARPNESS + INK, 0, 1)
    rows, columns = np.nonzero(coverage >= INK)
    left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)
    ink = np.stack([columns, rows], axis=1) + 0.5
    return Glyph(int(digits.labels[pick]), coverage, corners, ink)


def drawn(
    glyph: Glyph,
    degrees: float,
    center: Sequence[float] | np.ndarray,
    color: np.ndarray,
    shape: tuple[int, int],
) -> Drawn:
    """Turn a digit and put its box's middle at a point of an image of [H, W]."""
    matrix, place = rotation(degrees), np.asarray(center, float)
    inverse = matrix.T
    shift = glyph.center - inverse @ place
    coefficients = (*inverse[0], shift[0], *inverse[1], shift[1])
    height, width = shape
    image = Image.fromarray(glyph.coverage).transform(
        (width, height), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC
    )
    coverage = np.clip(np.asarray(image), 0, 1)
    quad = glyph.turned(degrees) + place
    inside = (quad >= 0).all() and (quad <= (width, height)).all()
    return Drawn(
        label=glyph.label,
        degrees=degrees,
        color=color,
        coverage=coverage,
        # A turn changes thin strokes by a few pixels; beyond the border nobody can count them.
        area=int((coverage >= INK).sum()) if inside else glyph.area,
        quad=quad,
        keypoints=_ends((glyph.ink - glyph.center) @ matrix.T + place),
    )


def _ends(ink: np.ndarray) -> np.ndarray:
    """The middle of the ink [N, 2] at each of its four ends."""
    ends = []
    for axis, sign in ((1, -1), (0, 1), (1, 1), (0, -1)):  # top, right, bottom, left
        along = sign * ink[:, axis]
        ends.append(ink[along >= along.max() - max(1.0, BAND * np.ptp(along))].mean(axis=0))
    return np.array(ends)
