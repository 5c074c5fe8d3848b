"""How many objects of an image a head predicts, and how many are measured.

COCO counts 100, which is enough for photographs of streets and kitchens: of a plate with 300 cells
the truth itself would reach a third. So the limit follows the data: twice as many as the fullest
image shows, since what is found beside the truth must not push it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sihl_trainer.tasks.info import HeadInfo

_SETTING = "maxDetections"
USUAL = 300
"""Cells, people in a crowd, parts on a tray: a hundred in an image are not rare."""
USUAL_MASKS = 100
"""Each is a map of its own, made and compared by itself."""
_SPARE = 2
_CANDIDATES = 1000
_CANDIDATES_EACH = 4


def limit(info: HeadInfo, usual: int = USUAL) -> dict[str, int]:
    """The setting of a head, by its spec or else by its dataset."""
    return {_SETTING: info.most or max(usual, _SPARE * info.fullest)}


def limit_of(settings: Mapping[str, Any], usual: int = USUAL) -> int:
    """What a head's config says; models of old say nothing."""
    return int(settings.get(_SETTING, usual))


def candidates_for(most: int) -> int:
    """How many of the best scores are compared, so that so many objects are left."""
    return max(_CANDIDATES, _CANDIDATES_EACH * most)
