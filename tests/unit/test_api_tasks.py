import pytest

from sihl_api.tasks import CONVERSIONS, Task, conversion_path, task_from_words


@pytest.mark.parametrize("task", list(Task))
def test_metadata_names_a_task_in_words_of_any_case_and_spacing(task: Task) -> None:
    assert task_from_words(task.words) is task
    assert task_from_words(task.words.upper().replace(" ", "-")) is task
    assert task_from_words(task.value) is task


def test_an_unknown_task_is_refused_and_those_that_exist_are_named() -> None:
    with pytest.raises(ValueError, match=r"unknown task 'juggling'.*'object detection'"):
        task_from_words("juggling")


def test_every_task_has_its_place_in_the_graph() -> None:
    assert set(CONVERSIONS) == set(Task)


def test_a_task_needs_no_conversion_to_itself() -> None:
    assert conversion_path(Task.OBJECT_DETECTION, Task.OBJECT_DETECTION) == [Task.OBJECT_DETECTION]


def test_conversions_compose_along_the_shortest_path() -> None:
    a, b = Task.OBJECT_DETECTION, Task.MULTICLASS_CLASSIFICATION
    assert conversion_path(a, b, {a: (b,), b: (a,)}) == [a, b]
    assert conversion_path(a, b, {a: (), b: (a,)}) is None
