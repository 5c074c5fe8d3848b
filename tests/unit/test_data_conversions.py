"""The rules of composition, on edges that the tests bring."""

from __future__ import annotations

from dataclasses import replace

from sihl_api.tasks import CONVERSIONS, Task
from sihl_trainer.tasks.conversions import CONVERTERS, Converter, conversion
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.multiclass_classification.target import CategoryTarget
from sihl_trainer.tasks.target import Target

CLASSES, BOXES = Task.MULTICLASS_CLASSIFICATION, Task.OBJECT_DETECTION


def renumbered(info: HeadInfo) -> HeadInfo:
    return replace(info, task=BOXES, categories=tuple(reversed(info.categories)))


def renumber(info: HeadInfo, target: Target) -> CategoryTarget:
    assert isinstance(target, CategoryTarget)
    return CategoryTarget(len(info.categories) - 1 - target.category)


def shortened(info: HeadInfo) -> HeadInfo:
    return replace(info, task=CLASSES, categories=info.categories[1:])


def shorten(info: HeadInfo, target: Target) -> CategoryTarget:
    assert isinstance(target, CategoryTarget)
    assert len(info.categories) == 3
    return CategoryTarget(target.category - 1)


EDGES = {CLASSES: (BOXES,), BOXES: ()}
STEPS = {(CLASSES, BOXES): Converter(renumbered, renumber)}
INFO = HeadInfo(CLASSES, ("a", "b", "c"))


def test_every_edge_of_the_graph_has_a_converter_and_no_converter_is_off_the_graph() -> None:
    assert set(CONVERTERS) == {(source, to) for source, tos in CONVERSIONS.items() for to in tos}


def test_the_same_task_is_not_changed() -> None:
    found = conversion(CLASSES, CLASSES)
    assert found is not None
    assert found.info(INFO) == INFO
    assert found.target(INFO, CategoryTarget(1)) == CategoryTarget(1)


def test_without_a_path_there_is_no_conversion() -> None:
    assert conversion(CLASSES, BOXES) is None
    assert conversion(BOXES, CLASSES, EDGES, STEPS) is None


def test_an_edge_converts_what_the_head_is_told_and_each_target() -> None:
    found = conversion(CLASSES, BOXES, EDGES, STEPS)
    assert found is not None
    assert found.info(INFO) == HeadInfo(BOXES, ("c", "b", "a"))
    assert found.target(INFO, CategoryTarget(0)) == CategoryTarget(2)


def test_each_step_of_a_path_is_told_what_the_step_before_made() -> None:
    found = conversion(CLASSES, BOXES, EDGES, STEPS)
    assert found is not None
    both = replace(found, steps=(*found.steps, Converter(shortened, shorten)))
    assert both.info(INFO) == HeadInfo(CLASSES, ("b", "a"))
    assert both.target(INFO, CategoryTarget(0)) == CategoryTarget(1)
