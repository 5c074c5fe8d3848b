"""The columns that a head reads text in: pure numbers, which the fetch asks for without torch.

Connectionist temporal classification gives each column one token or none, and needs a column
without one between two tokens that are alike. A text that needs more columns than there are cannot
be learnt at all: its loss is infinite.
"""

from __future__ import annotations

from collections.abc import Mapping

from sihl_api.model import BACKBONE_TOP_LEVEL, Head
from sihl_api.trainingjob import TrainingJobSpec

COLUMN_LEVEL = 2
"""Columns are as wide as this level's stride, 4 pixels: about the width of the narrowest letter."""
MOST_UPSAMPLING = 4
"""What a level's columns are split into at most: its features tell no more apart than that."""
_BACKBONE_LEVEL = 4


def default_levels(channels: Mapping[int, int], has_neck: bool) -> list[int]:
    """The neck's finest level, or the backbone's fourth: finer ones saw too little."""
    level = min(channels) if has_neck else min(_BACKBONE_LEVEL, max(channels))
    return [level, level]


def reading_level(head: Head, spec: TrainingJobSpec) -> int:
    """The level that a job's head reads: the finest of its own."""
    neck = spec.model.neck
    first, last = neck.levels if neck else (1, BACKBONE_TOP_LEVEL)
    channels = dict.fromkeys(range(first, last + 1), 0)
    return (head.levels or default_levels(channels, neck is not None))[0]


def upsampling(level: int) -> int:
    """What each of a level's columns is split into."""
    return min(MOST_UPSAMPLING, 1 << max(0, level - COLUMN_LEVEL))


def column_width(level: int) -> int:
    """Pixels of the input that a column is wide."""
    return (1 << level) // upsampling(level)


def columns(width: int, level: int) -> int:
    """How many columns there are over an input `width` pixels wide, its rim rounded up."""
    return -(-width // (1 << level)) * upsampling(level)
