"""Augmentation: a pure function of (seed, epoch, index)."""

from __future__ import annotations

from dataclasses import dataclass

from sihl_api.training import Augmentation
from sihl_trainer.data.draws import uniform

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


def draw(settings: Augmentation, seed: int, epoch: int, index: int) -> Change:
    """The change to the image with `index` in `epoch`."""
    mirror, shrink, left, top, brightness = uniform(_DRAWS, seed, epoch, index).tolist()
    scale = settings.scale or 0.0
    return Change(
        mirror=settings.horizontal_flip and mirror < 0.5,
        shrink=1 - scale * shrink,
        position=(left, top) if scale else (0.5, 0.5),
        brightness=1 + settings.brightness * (2 * brightness - 1),
    )
