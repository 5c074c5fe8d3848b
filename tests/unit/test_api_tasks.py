import pytest

from sihl_api.tasks import CONVERSIONS, Task, conversion_path, reachable, task_from_words


@pytest.mark.parametrize("task", list(Task))
def test_metadata_names_a_task_in_words_of_any_case_and_spacing(task: Task) -> None:
    assert task_from_words(task.words) is task
    assert task_from_words(task.words.upper().replace(" ", "-")) is task
    assert task_from_words(task.value) is task


@pytest.mark.parametrize(
    ("words", "task"),
    [
        ("view-invariance learning", Task.VIEW_INVARIANCE),
        ("View Invariance", Task.VIEW_INVARIANCE),
        ("autoencoding", Task.AUTOENCODING),
        ("Auto-Encoding", Task.AUTOENCODING),
        ("anomaly detection", Task.ANOMALY_DETECTION),
        ("metric learning", Task.METRIC_LEARNING),
        ("quadrilateral  detection", Task.QUADRILATERAL_DETECTION),
        ("key point detection", Task.KEYPOINT_DETECTION),
        ("multi-label classification", Task.MULTILABEL_CLASSIFICATION),
        ("multi_class Classification", Task.MULTICLASS_CLASSIFICATION),
        (" Semantic segmentation ", Task.SEMANTIC_SEGMENTATION),
        ("OBJECT_DETECTION", Task.OBJECT_DETECTION),
    ],
)
def test_what_people_call_a_task_is_understood(words: str, task: Task) -> None:
    assert task_from_words(words) is task


def test_a_task_that_is_misspelt_is_refused_with_the_one_that_is_meant() -> None:
    with pytest.raises(ValueError, match=r"'Object detecton': did you mean 'object detection'\?"):
        task_from_words("Object detecton")


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


def test_what_annotations_can_become_is_told_with_every_path_followed() -> None:
    images_alone = [task for task in Task if task.self_supervised]
    assert reachable(Task.REGRESSION) == images_alone
    assert reachable(Task.KEYPOINT_DETECTION) == [
        Task.MULTILABEL_CLASSIFICATION,
        Task.OBJECT_DETECTION,
        Task.QUADRILATERAL_DETECTION,
        *images_alone,
    ]
