"""Passes: the ways in which an image is shown to backbone and neck.

A pass costs one run of both and is shared by all heads that want it. Supervised heads want the
plain one only; what is changed on purpose (a second view, a corruption) is for self-supervised
heads and moves no running statistic of plain images.
"""

from __future__ import annotations

from torch import Tensor

from sihl_trainer.tasks.passes.blended import blended
from sihl_trainer.tasks.passes.contract import Features, Keys, Pass, View, Views
from sihl_trainer.tasks.passes.masked import masked
from sihl_trainer.tasks.passes.second_view import second_view

__all__ = ["Features", "Keys", "Pass", "View", "Views", "shown"]


def shown(which: Pass, images: Tensor, keys: Keys) -> tuple[Tensor, Tensor | None]:
    """The images of a pass, and which pixels it changed.

    What becomes of an image follows from its own keys, whatever else is in its batch; but what is
    blended into it may come from the batch's other images.

    Args:
        which: The pass.
        images: uint8 or float [B, 3, H, W] in 0 to 255, the plain ones.
        keys: Of the batch.

    Returns:
        float [B, 3, H, W] in 0 to 255, and bool [B, H, W] or None.
    """
    images = images.float()
    match which:
        case Pass.PLAIN:
            return images, None
        case Pass.SECOND_VIEW:
            return second_view(images, keys), None
        case Pass.MASKED:
            return masked(images, keys)
        case Pass.BLENDED:
            return blended(images, keys)
