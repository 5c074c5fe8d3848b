"""Every edge of the graph, and every path that they make."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sihl_api.tasks import CONVERSIONS, Task, conversion_path
from sihl_trainer.data.letterbox import Letterboxing, letterboxing
from sihl_trainer.tasks.conversions import CONVERTERS, Conversion, conversion
from sihl_trainer.tasks.converters import OBJECT
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.instance_segmentation.target import InstancesTarget, instances
from sihl_trainer.tasks.keypoint_detection.target import KeypointsTarget
from sihl_trainer.tasks.maps.palette import ColorInfo
from sihl_trainer.tasks.multilabel_classification.target import LabelsTarget
from sihl_trainer.tasks.object_detection.target import BoxesTarget
from sihl_trainer.tasks.panoptic_segmentation.target import PanopticTarget
from sihl_trainer.tasks.quadrilateral_detection.target import QuadrilateralsTarget
from sihl_trainer.tasks.semantic_segmentation.target import SemanticTarget
from sihl_trainer.tasks.target import Target
from tests.support.targets import (
    ANNOTATED,
    COLORS,
    MOST_CELLS,
    NAMES,
    Annotated,
    apart,
    check_valid,
    info_of,
    signed_area,
)

PANOPTIC, SEMANTIC, INSTANCE = (
    Task.PANOPTIC_SEGMENTATION,
    Task.SEMANTIC_SEGMENTATION,
    Task.INSTANCE_SEGMENTATION,
)
BOXES, QUADS, KEYPOINTS = (
    Task.OBJECT_DETECTION,
    Task.QUADRILATERAL_DETECTION,
    Task.KEYPOINT_DETECTION,
)
LABELS, CLASSES, IDENTITIES = (
    Task.MULTILABEL_CLASSIFICATION,
    Task.MULTICLASS_CLASSIFICATION,
    Task.METRIC_LEARNING,
)
SUPERVISED = [task for task in Task if not task.self_supervised]
PAIRS = [
    (source, to)
    for source in SUPERVISED
    for to in SUPERVISED
    if source is not to and conversion_path(source, to)
]
EXACT = 1e-4  # pixels: what float32 makes of it


def paths(source: Task, to: Task) -> Iterator[list[Task]]:
    """All paths on which no task comes twice."""
    open_paths = [[source]]
    while open_paths:
        path = open_paths.pop()
        if path[-1] is to:
            yield path
        else:
            open_paths += [[*path, step] for step in CONVERSIONS[path[-1]] if step not in path]


def along(path: list[Task]) -> Conversion:
    return Conversion(tuple(CONVERTERS[edge] for edge in pairwise(path)))


def converted(source: Task, to: Task, target: Target, info: HeadInfo | None = None) -> Target:
    found = conversion(source, to)
    assert found is not None
    return found.target(info or info_of(source), target)


def shown(source: Task, to: Task) -> str:
    return f"{source.value}-{to.value}"


each_pair = pytest.mark.parametrize(
    ("source", "to"), PAIRS, ids=[shown(source, to) for source, to in PAIRS]
)
few = settings(max_examples=15, deadline=None)


@st.composite
def fits(draw: st.DrawFn, size: tuple[int, int]) -> Letterboxing:
    """How an image is letterboxed: as augmentation draws it, and without it."""
    side = st.integers(16, 48)
    share = st.floats(0, 1)
    return letterboxing(
        size,
        draw(st.tuples(side, side)),
        enlarge=draw(st.booleans()),
        shrink=draw(st.sampled_from((1.0, 0.7, 0.5))),
        position=draw(st.tuples(share, share)),
    )


# --- every path ------------------------------------------------------------------------------


def test_every_task_that_can_become_another_is_tried_here() -> None:
    assert {source for source, _ in PAIRS} == set(ANNOTATED)


@each_pair
@few
@given(data=st.data())
def test_all_paths_make_the_same_valid_target_and_tell_the_head_the_same(
    source: Task, to: Task, data: st.DataObject
) -> None:
    given_ = data.draw(ANNOTATED[source])
    chosen = conversion(source, to)
    assert chosen is not None
    info, target = chosen.info(given_.info), chosen.target(given_.info, given_.target)
    assert info.task is to
    check_valid(info, target, given_.size)
    for path in paths(source, to):
        assert along(path).info(given_.info) == info
        assert apart(along(path).target(given_.info, given_.target), target) <= EXACT


@each_pair
@few
@given(data=st.data())
def test_what_is_converted_follows_its_image_as_what_is_annotated_does(
    source: Task, to: Task, data: st.DataObject
) -> None:
    given_ = data.draw(ANNOTATED[source])
    fit = data.draw(fits(given_.size))
    assume(keeps_every_cell(given_.target, fit))
    before = converted(source, to, given_.target).placed(fit)
    after = converted(source, to, given_.target.placed(fit))
    pixel = max(1, fit.placement.scale_x, fit.placement.scale_y)  # the image's or the canvas's
    assert apart(before, after) <= pixel + EXACT
    width = fit.canvas[0]
    mirrored = converted(source, to, given_.target.placed(fit).mirrored(width))
    assert apart(after.mirrored(width), mirrored) <= EXACT
    check_valid(info_of(to), mirrored, fit.canvas)


def keeps_every_cell(target: Target, fit: Letterboxing) -> bool:
    """Whether no cell of a map vanishes, and what it shows with it."""
    if not isinstance(target, PanopticTarget | SemanticTarget | InstancesTarget):
        return True
    return min(fit.size) >= MOST_CELLS


@pytest.mark.parametrize("to", [task for task in Task if task.self_supervised])
@given(data=st.data())
@few
def test_every_annotation_becomes_the_image_alone_for_a_self_supervised_head(
    to: Task, data: st.DataObject
) -> None:
    given_ = data.draw(st.one_of(list(ANNOTATED.values())))
    found = conversion(given_.info.task, to)
    assert found is not None
    assert len(found.steps) == 1
    assert found.info(given_.info) == HeadInfo(to)
    check_valid(found.info(given_.info), found.target(given_.info, given_.target), given_.size)


def test_a_conversion_travels_to_the_loaders_processes() -> None:
    arrived = pickle.loads(pickle.dumps(conversion(PANOPTIC, LABELS)))
    found = arrived.target(info_of(PANOPTIC), SEGMENTS)
    assert apart(found, converted(PANOPTIC, LABELS, SEGMENTS)) == 0


@given(ANNOTATED[BOXES])
@few
def test_boxes_come_back_from_quadrilaterals_as_they_were(given_: Annotated) -> None:
    there = converted(BOXES, QUADS, given_.target)
    back = converted(QUADS, BOXES, there)
    assert apart(back, given_.target) == 0


@given(ANNOTATED[CLASSES])
@few
def test_an_index_is_the_same_as_category_and_as_identity(given_: Annotated) -> None:
    there = converted(CLASSES, IDENTITIES, given_.target)
    assert converted(IDENTITIES, CLASSES, there) == given_.target


# --- each edge, by example -------------------------------------------------------------------

SEGMENTS = PanopticTarget(
    torch.tensor([[0, 1, 1, 2], [0, 1, 3, 2]], dtype=torch.uint8),
    torch.tensor([2, 0, 2, 1]),  # the fourth has lost all its pixels
    size=(8, 4),
)


def test_segments_become_a_map_of_their_categories_whose_ignored_pixels_stay_ignored() -> None:
    found = converted(PANOPTIC, SEMANTIC, SEGMENTS)
    assert isinstance(found, SemanticTarget)
    assert found.labels.tolist() == [[0, 3, 3, 1], [0, 3, 3, 1]]


def test_the_colours_of_categories_follow_maps_to_the_heads_that_draw_them() -> None:
    for to in (SEMANTIC, INSTANCE):
        found = conversion(PANOPTIC, to)
        assert found is not None
        assert found.info(info_of(PANOPTIC)) == ColorInfo(to, NAMES, COLORS)
    boxes = conversion(PANOPTIC, BOXES)
    assert boxes is not None
    assert boxes.info(info_of(PANOPTIC)) == HeadInfo(BOXES, NAMES)


def test_a_map_of_more_categories_than_a_byte_holds_has_two() -> None:
    info = ColorInfo(PANOPTIC, tuple(map(str, range(300))))
    found = converted(
        PANOPTIC,
        SEMANTIC,
        PanopticTarget(torch.ones(2, 3, dtype=torch.uint8), torch.tensor([299])),
        info,
    )
    assert isinstance(found, SemanticTarget)
    assert found.labels.tolist() == [[300] * 3] * 2


def test_every_segment_with_a_pixel_left_becomes_an_instance_of_any_kind() -> None:
    found = converted(PANOPTIC, INSTANCE, SEGMENTS)
    assert isinstance(found, InstancesTarget)
    assert found.categories.tolist() == [2, 0, 2]
    assert found.boxes.tolist() == [[1, 0, 3, 2], [3, 0, 4, 2], [2, 1, 3, 2]]
    assert [mask.tolist() for mask in found.masks()] == [[[1, 1], [1, 0]], [[1], [1]], [[1]]]


def test_a_masks_box_is_in_pixels_of_the_image_though_its_map_is_smaller() -> None:
    mask = torch.zeros(6, 8, dtype=torch.uint8)
    mask[1:4, 2:5] = 1
    target = instances([(mask, 0, 0)], torch.tensor([1]), (8, 6), (20, 15))
    found = converted(INSTANCE, BOXES, target)
    assert isinstance(found, BoxesTarget)
    assert found.boxes.tolist() == [[5, 2.5, 12.5, 10]]
    assert found.categories.tolist() == [1]


def test_a_box_becomes_its_corners_in_the_winding_of_the_task() -> None:
    boxes = BoxesTarget(torch.tensor([[1.0, 2, 5, 9]]), torch.tensor([2]))
    found = converted(BOXES, QUADS, boxes)
    assert isinstance(found, QuadrilateralsTarget)
    assert found.corners.tolist() == [[[1, 2], [5, 2], [5, 9], [1, 9]]]
    assert signed_area(found.corners).tolist() == [28]


def test_the_box_of_keypoints_is_the_hull_of_those_that_are_seen() -> None:
    points = torch.tensor(
        [[[4.0, 9], [6, 3], [99, 99]], [[7, 7], [0, 0], [0, 0]], [[1, 1], [2, 2], [3, 3]]]
    )
    visible = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])
    target = KeypointsTarget(points, visible, torch.arange(3))
    found = converted(KEYPOINTS, BOXES, target)
    assert isinstance(found, BoxesTarget)
    # One point alone gets a pixel around it, and an object of which nothing is seen has no box.
    assert found.boxes.tolist() == [[4, 3, 6, 9], [6.5, 6.5, 7.5, 7.5]]
    assert found.categories.tolist() == [0, 0]
    told = conversion(KEYPOINTS, BOXES)
    assert told is not None
    assert told.info(HeadInfo(KEYPOINTS, ("eye", "ear", "tail"))).categories == (OBJECT,)


def test_labels_are_the_categories_that_are_there_each_once_and_in_order() -> None:
    boxes = BoxesTarget(torch.rand(4, 4), torch.tensor([2, 0, 2, 0]))
    labels = converted(BOXES, LABELS, boxes)
    assert isinstance(labels, LabelsTarget)
    assert labels.labels.tolist() == [0, 2]
    seen = converted(SEMANTIC, LABELS, SemanticTarget(torch.tensor([[0, 3], [1, 1]]).byte()))
    assert isinstance(seen, LabelsTarget)
    assert seen.labels.tolist() == [0, 2]
    nothing = converted(SEMANTIC, LABELS, SemanticTarget(torch.zeros(2, 2, dtype=torch.uint8)))
    assert isinstance(nothing, LabelsTarget)
    assert nothing.labels.tolist() == []
