"""One step of a conversion: what each edge of `sihl_api.tasks.CONVERSIONS` does.

The fetch asks what heads are told, and imports no torch for it: so neither does this module at the
top, nor targets, but where one is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sihl_api.tasks import SELF_SUPERVISED, Task
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.maps.palette import ColorInfo

if TYPE_CHECKING:
    from torch import Tensor

    from sihl_trainer.tasks.target import Target

OBJECT = "object"
"""The one category of boxes around keypoints, which have none."""

_MOST_IN_A_BYTE = 255


@dataclass(frozen=True)
class Converter:
    """One step: what the head is told, and each target. Functions of a module: they are pickled.

    Args:
        info: From the source's info to the result's.
        target: From the source's info and target to the result's target.
    """

    info: Callable[[HeadInfo], HeadInfo]
    target: Callable[[HeadInfo, Target], Target]


Converters = Mapping[tuple[Task, Task], Converter]


# --- what the head is told -------------------------------------------------------------------


def _names_kept(task: Task, info: HeadInfo) -> HeadInfo:
    """The same names; what else the source's task tells stays behind."""
    return HeadInfo(task, info.categories)


def _colors_kept(task: Task, info: HeadInfo) -> HeadInfo:
    """The same names, with the colours in which maps show them."""
    assert isinstance(info, ColorInfo)
    return ColorInfo(task, info.categories, info.colors)


def _one_name(task: Task, _: HeadInfo) -> HeadInfo:
    """Objects that have no category, and are all of one then."""
    return HeadInfo(task, (OBJECT,))


def _no_names(task: Task, _: HeadInfo) -> HeadInfo:
    return HeadInfo(task)


# --- targets ---------------------------------------------------------------------------------


def _map_of_segments(info: HeadInfo, target: Target) -> Target:
    """Each pixel's category; what is ignored stays so."""
    import torch

    from sihl_trainer.tasks.panoptic_segmentation.target import PanopticTarget
    from sihl_trainer.tasks.semantic_segmentation.target import SemanticTarget

    assert isinstance(target, PanopticTarget)
    kind = torch.uint8 if len(info.categories) <= _MOST_IN_A_BYTE else torch.int16
    labels = torch.zeros(len(target.categories) + 1, dtype=kind)
    labels[1:] = target.categories + 1
    return SemanticTarget(labels[target.segments.long()])


def _masks_of_segments(_: HeadInfo, target: Target) -> Target:
    """A mask of each segment that has a pixel left, of what is countable or not."""
    from sihl_trainer.tasks.instance_segmentation.target import instances
    from sihl_trainer.tasks.panoptic_segmentation.target import PanopticTarget

    assert isinstance(target, PanopticTarget)
    height, width = target.segments.shape
    extents = _extents(target.segments, len(target.categories))
    found = [
        (target.segments[top:bottom, left:right] == number, left, top)
        for number, (left, top, right, bottom) in extents.items()
    ]
    categories = target.categories[[number - 1 for number in extents]]
    return instances(found, categories, (width, height), target.size)


def _extents(ids: Tensor, count: int) -> dict[int, tuple[int, int, int, int]]:
    """Left, top, right and bottom of the pixels of each id from 1 to `count` that a map has.

    Found in one walk over the map, however many ids there are.
    """
    import torch

    rows, columns = ids.nonzero().unbind(1)
    found = ids[rows, columns].long()
    sides = []
    for places, limit in ((columns, ids.shape[1]), (rows, ids.shape[0])):
        first = torch.full((count + 1,), limit).scatter_reduce(0, found, places, "amin")
        last = torch.full((count + 1,), -1).scatter_reduce(0, found, places, "amax")
        sides.append((first, last + 1))
    (left, right), (top, bottom) = sides
    boxes = torch.stack((left, top, right, bottom), 1).tolist()
    return {number: tuple(box) for number, box in enumerate(boxes) if box[2] > 0}


def _boxes_of_masks(_: HeadInfo, target: Target) -> Target:
    """The tightest box of each mask, in pixels of the image, whatever its map has."""
    import torch

    from sihl_trainer.tasks.instance_segmentation.target import InstancesTarget
    from sihl_trainer.tasks.object_detection.target import BoxesTarget

    assert isinstance(target, InstancesTarget)
    size = target.size or target.map_size
    scale = torch.tensor(size, dtype=torch.float64) / torch.tensor(target.map_size)
    return BoxesTarget((target.boxes * scale.repeat(2)).float(), target.categories)


def _boxes_of_quads(_: HeadInfo, target: Target) -> Target:
    """The hull of the corners of each."""
    import torch

    from sihl_trainer.tasks.object_detection.target import BoxesTarget
    from sihl_trainer.tasks.quadrilateral_detection.target import QuadrilateralsTarget

    assert isinstance(target, QuadrilateralsTarget)
    hulls = torch.cat((target.corners.amin(1), target.corners.amax(1)), 1)
    return BoxesTarget(hulls, target.categories)


def _quads_of_boxes(_: HeadInfo, target: Target) -> Target:
    """The corners of each, clockwise from the top left."""
    from sihl_trainer.tasks.object_detection.target import BoxesTarget
    from sihl_trainer.tasks.quadrilateral_detection.target import QuadrilateralsTarget

    assert isinstance(target, BoxesTarget)
    corners = target.boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].view(-1, 4, 2)
    return QuadrilateralsTarget(corners, target.categories)


def _boxes_of_points(_: HeadInfo, target: Target) -> Target:
    """The hull of the visible keypoints of each object that has one, at least a pixel wide."""
    import torch

    from sihl_trainer.tasks.keypoint_detection.target import KeypointsTarget
    from sihl_trainer.tasks.object_detection.target import BoxesTarget

    assert isinstance(target, KeypointsTarget)
    seen = target.visible.any(1)
    points, hidden = target.points[seen], ~target.visible[seen][..., None]
    first = points.masked_fill(hidden, torch.inf).amin(1)
    last = points.masked_fill(hidden, -torch.inf).amax(1)
    lacking = (1 - (last - first)).clamp(min=0) / 2
    boxes = torch.cat((first - lacking, last + lacking), 1)
    return BoxesTarget(boxes, torch.zeros(len(boxes), dtype=torch.int64))


def _labels_of_boxes(_: HeadInfo, target: Target) -> Target:
    """Which categories there are."""
    from sihl_trainer.tasks.multilabel_classification.target import LabelsTarget
    from sihl_trainer.tasks.object_detection.target import BoxesTarget

    assert isinstance(target, BoxesTarget)
    return LabelsTarget(target.categories.bincount().nonzero().flatten())


def _labels_of_map(_: HeadInfo, target: Target) -> Target:
    """Which categories there are."""
    from sihl_trainer.tasks.multilabel_classification.target import LabelsTarget
    from sihl_trainer.tasks.semantic_segmentation.target import SemanticTarget

    assert isinstance(target, SemanticTarget)
    return LabelsTarget(target.labels.flatten().bincount()[1:].nonzero().flatten())


def _one_label(_: HeadInfo, target: Target) -> Target:
    """The one that the image is of."""
    import torch

    from sihl_trainer.tasks.multiclass_classification.target import CategoryTarget
    from sihl_trainer.tasks.multilabel_classification.target import LabelsTarget

    assert isinstance(target, CategoryTarget)
    return LabelsTarget(torch.tensor([target.category]))


def _identity_of_category(_: HeadInfo, target: Target) -> Target:
    from sihl_trainer.tasks.metric_learning.target import IdentityTarget
    from sihl_trainer.tasks.multiclass_classification.target import CategoryTarget

    assert isinstance(target, CategoryTarget)
    return IdentityTarget(target.category)


def _category_of_identity(_: HeadInfo, target: Target) -> Target:
    from sihl_trainer.tasks.metric_learning.target import IdentityTarget
    from sihl_trainer.tasks.multiclass_classification.target import CategoryTarget

    assert isinstance(target, IdentityTarget)
    return CategoryTarget(target.identity)


def _image(_: HeadInfo, target: Target) -> Target:  # noqa: ARG001
    """A self-supervised head ignores whatever is annotated."""
    from sihl_trainer.tasks.target import ImageTarget

    return ImageTarget()


# --- the edges -------------------------------------------------------------------------------

_SUPERVISED = {
    (Task.PANOPTIC_SEGMENTATION, Task.SEMANTIC_SEGMENTATION): (_colors_kept, _map_of_segments),
    (Task.PANOPTIC_SEGMENTATION, Task.INSTANCE_SEGMENTATION): (_colors_kept, _masks_of_segments),
    (Task.INSTANCE_SEGMENTATION, Task.OBJECT_DETECTION): (_names_kept, _boxes_of_masks),
    (Task.QUADRILATERAL_DETECTION, Task.OBJECT_DETECTION): (_names_kept, _boxes_of_quads),
    (Task.KEYPOINT_DETECTION, Task.OBJECT_DETECTION): (_one_name, _boxes_of_points),
    (Task.OBJECT_DETECTION, Task.QUADRILATERAL_DETECTION): (_names_kept, _quads_of_boxes),
    (Task.OBJECT_DETECTION, Task.MULTILABEL_CLASSIFICATION): (_names_kept, _labels_of_boxes),
    (Task.SEMANTIC_SEGMENTATION, Task.MULTILABEL_CLASSIFICATION): (_names_kept, _labels_of_map),
    (Task.MULTICLASS_CLASSIFICATION, Task.METRIC_LEARNING): (_names_kept, _identity_of_category),
    (Task.MULTICLASS_CLASSIFICATION, Task.MULTILABEL_CLASSIFICATION): (_names_kept, _one_label),
    (Task.METRIC_LEARNING, Task.MULTICLASS_CLASSIFICATION): (_names_kept, _category_of_identity),
}

CONVERTERS: Converters = {
    (source, to): Converter(partial(info, to), target)
    for (source, to), (info, target) in _SUPERVISED.items()
} | {
    (source, to): Converter(partial(_no_names, to), _image)
    for source in Task
    for to in SELF_SUPERVISED
    if source is not to
}
"""By edge of the graph."""
