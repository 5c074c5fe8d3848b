"""Object detection: a file that maps each image to its boxes.

    000.jpg: [{category: cat2, bbox: [xmin, ymin, xmax, ymax]}, ...]
    001.jpg: []       # no object
    002.jpg: null     # not annotated

Pixels from the image's top left corner, x to the right, y down. A `score` beside them is ignored.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sihl_api.tasks import Task
from sihl_trainer.data.documents import Value, number, quoted
from sihl_trainer.tasks.annotations import Format, fault_in_keys, kept, outside
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.listed import read_names
from sihl_trainer.tasks.shapes import ShapeAnnotations, read_shapes, shown

if TYPE_CHECKING:
    from sihl_trainer.tasks.object_detection.target import BoxesTarget

_CORNERS = "[xmin, ymin, xmax, ymax]"
_KEYS = ("category", "bbox")


class BoxAnnotations(ShapeAnnotations):
    """The boxes of all images, float32 [M, 4]."""

    def target(self, name: str) -> BoxesTarget | None:
        """The image's boxes."""
        from sihl_trainer.tasks.object_detection.target import BoxesTarget

        found = self.tensors(name)
        return None if found is None else BoxesTarget(*found)

    def fault(self, name: str, width: int, height: int) -> str | None:
        """The first box that reaches out of its image."""
        boxes = self.numbers(name)
        faulty = outside(boxes.reshape(-1, 2, 2), width, height).any(1)
        if not faulty.any():
            return None
        first = int(faulty.argmax())
        return (
            f'{self.file}, "{name}", box {first + 1}: {shown(boxes[first])} lies outside the '
            f"image, which is {width} pixels wide and {height} high: correct the box, in pixels "
            "from the top left of the upright image"
        )


def read_info(fields: dict[str, Value], place: str) -> HeadInfo:
    """The categories, in the order of their indices."""
    return HeadInfo(Task.OBJECT_DETECTION, read_names(fields, "categories", place))


def read(path: Path, info: HeadInfo) -> BoxAnnotations:
    """The boxes in a file.

    Raises:
        BadData: Malformed, a category that the metadata does not list, or a box without area;
            names file, line, image and box.
    """
    return BoxAnnotations(read_shapes(path, info, ("box", "boxes"), (4,), _box))


def _box(item: Value) -> tuple[list[float], str] | str:
    """The four numbers and the category of an entry, or what is wrong with it."""
    fields = item if isinstance(item, dict) else {}
    if fault := fault_in_keys(fields, _KEYS):
        return fault
    corners, category = fields.get("bbox"), fields.get("category")
    if "bbox" not in fields or not isinstance(category, str):
        return f"must be {{category: ..., bbox: {_CORNERS}}}, and is {quoted(item)}"
    box = [number(value) for value in corners] if isinstance(corners, list) else []
    xmin, ymin, xmax, ymax = box if len(box) == 4 else (None,) * 4
    if xmin is None or ymin is None or xmax is None or ymax is None:
        return f"bbox {quoted(corners)} must be four numbers: {_CORNERS}"
    xmin, ymin, xmax, ymax = kept(xmin, ymin, xmax, ymax)
    if xmax <= xmin:
        return f"xmax {xmax:g} must be greater than xmin {xmin:g}: {_meant(xmin, ymin, xmax, ymax)}"
    if ymax <= ymin:
        return f"ymax {ymax:g} must be greater than ymin {ymin:g}: {_meant(xmin, ymin, xmax, ymax)}"
    return [xmin, ymin, xmax, ymax], category


def _meant(*box: float) -> str:
    """What a box is to be written as, whose corners are none."""
    if max(box) <= 1:
        return f"bbox is {_CORNERS} in pixels, and not centre and size in shares of the image"
    return f"bbox is {_CORNERS}, and not [x, y, width, height]"


FORMAT = Format(read_info, read)
