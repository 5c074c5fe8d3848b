"""Random annotations of each task, what makes a target valid, and how far two are apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

from sihl_api.tasks import Task
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.instance_segmentation.target import InstancesTarget, instances
from sihl_trainer.tasks.keypoint_detection.target import KeypointsTarget
from sihl_trainer.tasks.maps.palette import ColorInfo
from sihl_trainer.tasks.metric_learning.target import IdentityTarget
from sihl_trainer.tasks.multiclass_classification.target import CategoryTarget
from sihl_trainer.tasks.multilabel_classification.target import LabelsTarget
from sihl_trainer.tasks.object_detection.target import BoxesTarget
from sihl_trainer.tasks.panoptic_segmentation.target import PanopticTarget
from sihl_trainer.tasks.quadrilateral_detection.target import QuadrilateralsTarget
from sihl_trainer.tasks.semantic_segmentation.target import SemanticTarget
from sihl_trainer.tasks.target import ImageTarget, Target

NAMES = ("bud", "leaf", "stem")
COLORS = (("bud", (255, 0, 0)), ("stem", (0, 0, 255)))
HALF = 0.5  # pixels that a box may reach over its image's edge
MOST_CELLS = 5


@dataclass(frozen=True)
class Annotated:
    """An image's size (width, height) in pixels, and what it is annotated with."""

    info: HeadInfo
    size: tuple[int, int]
    target: Target


def info_of(task: Task) -> HeadInfo:
    """What a set's metadata tells of `NAMES`, annotated for a task."""
    if task in (Task.PANOPTIC_SEGMENTATION, Task.SEMANTIC_SEGMENTATION, Task.INSTANCE_SEGMENTATION):
        return ColorInfo(task, NAMES, COLORS)
    return HeadInfo(task, NAMES)


# --- random annotations ----------------------------------------------------------------------


def _cells(highest: int) -> st.SearchStrategy[Tensor]:
    """A map of few cells, each of one value and one to three pixels wide and high.

    So whatever an image is letterboxed to, no cell vanishes if each has a pixel there.
    """
    side = st.integers(1, MOST_CELLS)

    def rows(size: tuple[int, int]) -> st.SearchStrategy[list[list[int]]]:
        row = st.lists(st.integers(0, highest), min_size=size[0], max_size=size[0])
        return st.lists(row, min_size=size[1], max_size=size[1])

    def enlarged(rows: list[list[int]], by: int) -> Tensor:
        return torch.tensor(rows).repeat_interleave(by, 0).repeat_interleave(by, 1)

    return st.builds(enlarged, st.tuples(side, side).flatmap(rows), st.integers(1, 3))


def _covered(draw: st.DrawFn, width: int, height: int) -> tuple[int, int]:
    """The size of an image that a map of this size covers: as large, or larger."""
    scale = draw(st.sampled_from((1.0, 1.0, 1.5, 2.0, 2.7)))
    return round(width * scale), round(height * scale)


@st.composite
def _panoptic(draw: st.DrawFn) -> Annotated:
    count = draw(st.integers(0, 4))
    segments = draw(_cells(count))
    size = _covered(draw, segments.shape[1], segments.shape[0])
    target = PanopticTarget(segments.to(torch.uint8), _categories(draw, count)).sized(size)
    return Annotated(info_of(Task.PANOPTIC_SEGMENTATION), size, target)


@st.composite
def _semantic(draw: st.DrawFn) -> Annotated:
    labels = draw(_cells(len(NAMES)))
    size = _covered(draw, labels.shape[1], labels.shape[0])
    target = SemanticTarget(labels.to(torch.uint8)).sized(size)
    return Annotated(info_of(Task.SEMANTIC_SEGMENTATION), size, target)


@st.composite
def _instances(draw: st.DrawFn) -> Annotated:
    """Masks that overlap: the bits of a map."""
    bits = draw(_cells(7))
    height, width = bits.shape
    masks = [mask for mask in (bits & 1, bits & 2, bits & 4) if mask.any()]
    size = _covered(draw, width, height)
    found = [(mask > 0, 0, 0) for mask in masks]
    target = instances(found, _categories(draw, len(found)), (width, height), size)
    return Annotated(info_of(Task.INSTANCE_SEGMENTATION), size, target)


@st.composite
def _boxes(draw: st.DrawFn) -> Annotated:
    size = draw(_sizes())
    boxes = [_box(draw, size) for _ in range(draw(st.integers(0, 4)))]
    found = torch.tensor(boxes).reshape(-1, 4).float()
    target = BoxesTarget(found, _categories(draw, len(boxes)))
    return Annotated(info_of(Task.OBJECT_DETECTION), size, target)


@st.composite
def _quads(draw: st.DrawFn) -> Annotated:
    """Convex: each corner on one side of a box, clockwise on the screen, from any corner on."""
    size = draw(_sizes())
    quads = []
    for _ in range(draw(st.integers(0, 4))):
        left, top, right, bottom = _box(draw, size)
        along = [draw(st.floats(0.1, 0.9)) for _ in range(4)]
        across, down = right - left, bottom - top
        corners = [
            [left + along[0] * across, top],
            [right, top + along[1] * down],
            [right - along[2] * across, bottom],
            [left, bottom - along[3] * down],
        ]
        start = draw(st.integers(0, 3))
        quads.append(corners[start:] + corners[:start])
    found = torch.tensor(quads).reshape(-1, 4, 2).float()
    target = QuadrilateralsTarget(found, _categories(draw, len(quads)))
    return Annotated(info_of(Task.QUADRILATERAL_DETECTION), size, target)


@st.composite
def _keypoints(draw: st.DrawFn) -> Annotated:
    size = draw(_sizes())
    count = draw(st.integers(0, 4))
    points = [[_point(draw, size) for _ in NAMES] for _ in range(count)]
    visible = [[draw(st.booleans()) for _ in NAMES] for _ in range(count)]
    target = KeypointsTarget(
        torch.tensor(points).reshape(-1, len(NAMES), 2).float(),
        torch.tensor(visible).reshape(-1, len(NAMES)).bool(),
        torch.arange(len(NAMES)).flip(0),
    )
    return Annotated(info_of(Task.KEYPOINT_DETECTION), size, target)


def _alone(task: Task, kind: Callable[[int], Target]) -> st.SearchStrategy[Annotated]:
    return st.builds(
        lambda size, index: Annotated(info_of(task), size, kind(index)),
        _sizes(),
        st.integers(0, len(NAMES) - 1),
    )


def _sizes() -> st.SearchStrategy[tuple[int, int]]:
    side = st.integers(4, 40)
    return st.tuples(side, side)


def _categories(draw: st.DrawFn, count: int) -> Tensor:
    index = st.integers(0, len(NAMES) - 1)
    drawn = draw(st.lists(index, min_size=count, max_size=count))
    return torch.tensor(drawn, dtype=torch.int64)


def _box(draw: st.DrawFn, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Half a pixel or more wide and high, and in the image."""
    (left, right), (top, bottom) = (_span(draw, side) for side in size)
    return left, top, right, bottom


def _span(draw: st.DrawFn, side: int) -> tuple[float, float]:
    start = draw(st.integers(0, 8 * side - 4))
    return start / 8, draw(st.integers(start + 4, 8 * side)) / 8


def _point(draw: st.DrawFn, size: tuple[int, int]) -> tuple[float, float]:
    x, y = (draw(st.integers(0, 8 * side)) / 8 for side in size)
    return x, y


ANNOTATED: dict[Task, st.SearchStrategy[Annotated]] = {
    Task.PANOPTIC_SEGMENTATION: _panoptic(),
    Task.SEMANTIC_SEGMENTATION: _semantic(),
    Task.INSTANCE_SEGMENTATION: _instances(),
    Task.OBJECT_DETECTION: _boxes(),
    Task.QUADRILATERAL_DETECTION: _quads(),
    Task.KEYPOINT_DETECTION: _keypoints(),
    Task.MULTICLASS_CLASSIFICATION: _alone(Task.MULTICLASS_CLASSIFICATION, CategoryTarget),
    Task.METRIC_LEARNING: _alone(Task.METRIC_LEARNING, IdentityTarget),
}
"""By the task that can become another supervised one."""


# --- what is valid ---------------------------------------------------------------------------


def check_valid(info: HeadInfo, target: Target, size: tuple[int, int]) -> None:
    """Hold a target to what its class promises, for an image of this size."""
    _CHECKS[type(target)](info, target, size)


def _check_panoptic(info: HeadInfo, target: PanopticTarget, size: tuple[int, int]) -> None:
    assert target.size == size
    _check_categories(info, target.categories, len(target.categories))
    assert target.segments.max() <= len(target.categories)


def _check_semantic(info: HeadInfo, target: SemanticTarget, size: tuple[int, int]) -> None:
    assert target.labels.dtype is torch.uint8
    assert target.labels.max() <= len(info.categories)


def _check_instances(info: HeadInfo, target: InstancesTarget, size: tuple[int, int]) -> None:
    assert target.size == size
    _check_categories(info, target.categories, len(target.boxes))
    _check_boxes_inside(target.boxes, target.map_size, over=0)
    assert target.crops.dtype is torch.uint8
    for mask in target.masks():
        assert mask.max() == 1
        for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]):
            assert edge.any()


def _check_boxes(info: HeadInfo, target: BoxesTarget, size: tuple[int, int]) -> None:
    assert target.boxes.dtype is torch.float32
    _check_categories(info, target.categories, len(target.boxes))
    _check_boxes_inside(target.boxes, size, over=HALF)


def _check_quads(info: HeadInfo, target: QuadrilateralsTarget, size: tuple[int, int]) -> None:
    assert target.corners.dtype is torch.float32
    _check_categories(info, target.categories, len(target.corners))
    assert (signed_area(target.corners) > 0).all()
    hulls = torch.cat((target.corners.amin(1), target.corners.amax(1)), 1)
    _check_boxes_inside(hulls, size, over=HALF)


def _check_keypoints(info: HeadInfo, target: KeypointsTarget, size: tuple[int, int]) -> None:
    assert target.points.shape == (*target.visible.shape, 2)
    assert target.swap.sort().values.tolist() == list(range(len(info.categories)))
    assert target.visible.any(1).all()
    seen = target.points[target.visible]
    assert ((seen >= -HALF) & (seen <= torch.tensor(size) + HALF)).all()


def _check_labels(info: HeadInfo, target: LabelsTarget, size: tuple[int, int]) -> None:
    assert target.labels.tolist() == sorted(set(target.labels.tolist()))
    _check_categories(info, target.labels, len(target.labels))


def _check_category(info: HeadInfo, target: CategoryTarget, size: tuple[int, int]) -> None:
    assert 0 <= target.category < len(info.categories)


def _check_identity(info: HeadInfo, target: IdentityTarget, size: tuple[int, int]) -> None:
    assert 0 <= target.identity < len(info.categories)


def _check_image(info: HeadInfo, target: ImageTarget, size: tuple[int, int]) -> None:
    assert info.categories == ()


def _check_categories(info: HeadInfo, categories: Tensor, count: int) -> None:
    assert categories.dtype is torch.int64
    assert categories.shape == (count,)
    assert ((categories >= 0) & (categories < len(info.categories))).all()


def _check_boxes_inside(boxes: Tensor, size: tuple[int, int], over: float) -> None:
    slack = over + 1e-3 * (over > 0)  # what float32 makes of it
    assert (boxes[:, :2] < boxes[:, 2:]).all()
    assert (boxes[:, :2] >= -slack).all()
    assert (boxes[:, 2:] <= torch.tensor(size) + slack).all()


def signed_area(corners: Tensor) -> Tensor:
    """Of polygons [N, 4, 2]: more than 0 where the corners run clockwise on the screen."""
    following = corners.roll(-1, 1)
    return (corners[..., 0] * following[..., 1] - corners[..., 1] * following[..., 0]).sum(1) / 2


_CHECKS: dict[type[Target], Callable[..., None]] = {
    PanopticTarget: _check_panoptic,
    SemanticTarget: _check_semantic,
    InstancesTarget: _check_instances,
    BoxesTarget: _check_boxes,
    KeypointsTarget: _check_keypoints,
    QuadrilateralsTarget: _check_quads,
    LabelsTarget: _check_labels,
    CategoryTarget: _check_category,
    IdentityTarget: _check_identity,
    ImageTarget: _check_image,
}


# --- how far two are apart -------------------------------------------------------------------


def apart(one: Target, other: Target) -> float:
    """By how many pixels two targets differ at most; infinite where no distance explains it."""
    assert type(one) is type(other)
    return _DISTANCES[type(one)](one, other)


def _equal(one: Target, other: Target) -> float:
    return 0 if one == other else torch.inf


def _maps_apart(one: SemanticTarget, other: SemanticTarget) -> float:
    return 0 if torch.equal(one.labels, other.labels) else torch.inf


def _labels_apart(one: LabelsTarget, other: LabelsTarget) -> float:
    return 0 if torch.equal(one.labels, other.labels) else torch.inf


def _boxes_apart(one: BoxesTarget, other: BoxesTarget) -> float:
    if not torch.equal(one.categories, other.categories):
        return torch.inf
    return _farthest(one.boxes - other.boxes)


def _instances_apart(one: InstancesTarget, other: InstancesTarget) -> float:
    """By the masks' pixels: how far the farthest of one is from the other's nearest."""
    if not torch.equal(one.categories, other.categories) or one.map_size != other.map_size:
        return torch.inf
    both = zip(_pixels(one), _pixels(other), strict=True)
    distances = [torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist") for a, b in both]
    hausdorff = [max(d.amin(0).max().item(), d.amin(1).max().item()) for d in distances]
    return max(hausdorff, default=0)


def _pixels(target: InstancesTarget) -> list[Tensor]:
    """Of each object, float32 [M, 2]: the rows and columns of its mask in the map."""
    corners = target.boxes[:, [1, 0]]
    return [
        (mask.nonzero() + corner).float()
        for mask, corner in zip(target.masks(), corners, strict=True)
    ]


def _quads_apart(one: QuadrilateralsTarget, other: QuadrilateralsTarget) -> float:
    """Whichever corner comes first; the order of the others counts."""
    if not torch.equal(one.categories, other.categories):
        return torch.inf
    turns = [(one.corners - other.corners.roll(turn, 1)).abs() for turn in range(4)]
    return _farthest(torch.stack(turns).amax((2, 3)).amin(0))


def _farthest(difference: Tensor) -> float:
    return difference.abs().max().item() if difference.numel() else 0


_DISTANCES: dict[type[Target], Callable[..., float]] = {
    SemanticTarget: _maps_apart,
    InstancesTarget: _instances_apart,
    BoxesTarget: _boxes_apart,
    QuadrilateralsTarget: _quads_apart,
    LabelsTarget: _labels_apart,
    CategoryTarget: _equal,
    IdentityTarget: _equal,
    ImageTarget: _equal,
}
