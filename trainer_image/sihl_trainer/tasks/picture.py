"""Pictures of what a head says, and its predictions in the dataset's own format."""

from __future__ import annotations

import io
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from PIL import Image

from sihl_api.record import HeadConfig, picture_file
from sihl_trainer.data.letterbox import Letterboxing

SHOWN_SCORE = 0.3
"""Detections of which a head is less sure are neither drawn nor written."""
_GAP = 4


@dataclass(frozen=True)
class MapFile:
    """A prediction that the dataset's format keeps as a file: its suffix, .png say, and bytes."""

    suffix: str
    content: bytes


Written: TypeAlias = "str | float | list[Any] | dict[str, Any] | MapFile | None"
"""A prediction in the dataset's format: a value of the annotations file, or a file of its own."""


@dataclass(frozen=True, eq=False)
class Pictured:
    """An image that is drawn, with what was annotated and what was predicted, on the CPU.

    Attributes:
        name: Its file name.
        image: uint8 [3, H, W], as the model saw it.
        size: (width, height) of the original in pixels.
        fit: How it was letterboxed.
        target: None: not annotated for the head.
        prediction: As `Head.examine` gives it.
    """

    name: str
    image: torch.Tensor
    size: tuple[int, int]
    fit: Letterboxing
    target: Any | None
    prediction: Any


class Painter(ABC):
    """Draws one head's targets and predictions, and writes the predictions down.

    Args:
        config: The head's.
    """

    def __init__(self, config: HeadConfig) -> None:
        self.config = config

    @abstractmethod
    def target(self, canvas: Image.Image, target: Any) -> Image.Image:
        """The annotation drawn on the image (a copy that may be drawn on)."""

    @abstractmethod
    def prediction(self, canvas: Image.Image, prediction: Any) -> Image.Image:
        """The prediction drawn on the image (a copy that may be drawn on)."""

    @abstractmethod
    def written(self, prediction: Any, size: tuple[int, int], fit: Letterboxing) -> Written:
        """The prediction in the dataset's format, in pixels of the original; None: it has none."""


def drawn(painter: Painter, shown: Pictured) -> bytes:
    """PNG: the image, its target (where there is one) and the prediction side by side."""
    image = Image.fromarray(shown.image.permute(1, 2, 0).numpy())
    panels = [image]
    if shown.target is not None:
        panels.append(painter.target(image.copy(), shown.target))
    panels.append(painter.prediction(image.copy(), shown.prediction))
    width = sum(panel.width for panel in panels) + _GAP * (len(panels) - 1)
    sheet = Image.new("RGB", (width, image.height), "white")
    left = 0
    for panel in panels:
        sheet.paste(panel, (left, 0))
        left += panel.width + _GAP
    return encoded(sheet)


def files(painter: Painter, pictured: Sequence[Pictured]) -> dict[str, bytes]:
    """All files of a head's pictures, by name: drawings, and predictions as the dataset has them.

    A drawing's name is the image's with `.png` behind it. `annotations.json` has the predictions
    that the format keeps in one file; those that it keeps in a file an image are named as drawings
    are, with `.map` before their suffix.
    """
    found: dict[str, bytes] = {}
    entries: dict[str, Any] = {}
    for each in pictured:
        found[picture_file(each.name)] = drawn(painter, each)
        written = painter.written(each.prediction, each.size, each.fit)
        if isinstance(written, MapFile):
            found[picture_file(each.name, f".map{written.suffix}")] = written.content
        elif written is not None:
            entries[each.name] = written
    if entries:
        found["annotations.json"] = json.dumps(entries, indent=1, ensure_ascii=False).encode()
    return found


def encoded(image: Image.Image) -> bytes:
    """An image as PNG."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
