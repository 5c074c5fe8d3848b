from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import average_precision_score, f1_score

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.data.letterbox import letterboxing
from sihl_trainer.errors import BadData
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.multilabel_classification.annotations import FORMAT
from sihl_trainer.tasks.multilabel_classification.head import PRIOR, MultilabelClassification
from sihl_trainer.tasks.multilabel_classification.metric import LabelsPrediction
from sihl_trainer.tasks.multilabel_classification.picture import PAINTER
from sihl_trainer.tasks.multilabel_classification.target import LabelsTarget
from tests.support.formats import read_back, read_text
from tests.support.heads import measured, plain, view

INFO = HeadInfo(Task.MULTILABEL_CLASSIFICATION, ("day", "rain", "snow"))
NONE = LabelsTarget(torch.zeros(0, dtype=torch.int64))


def config(count: int = 3) -> HeadConfig:
    names = [*INFO.categories, *map(str, range(3, count))][:count]
    task = Task.MULTILABEL_CLASSIFICATION
    return HeadConfig(name="h", task=task, levels=[5, 5], settings={"categories": names})


def labels(*indices: int) -> LabelsTarget:
    return LabelsTarget(torch.tensor(indices, dtype=torch.int64))


# --- format ----------------------------------------------------------------------------------


def test_an_empty_list_is_no_label_and_null_is_not_annotated() -> None:
    read = read_text(INFO, "0.jpg: [snow, day]\n1.jpg: []\n2.jpg: null\n3.jpg: [rain]\n")
    found = [read.target(f"{index}.jpg") for index in range(5)]
    listed = [t.labels.tolist() if isinstance(t, LabelsTarget) else t for t in found]
    assert listed == [[0, 2], [], None, [1], None]
    assert read.names == ["0.jpg", "1.jpg", "3.jpg"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("day", "must be a list of labels, if only of one: [label]; [] for none, null if not"),
        ("{day: rain}", "must be a list of labels"),
        ("[day, fog]",
         "label 2: unknown label 'fog'; the metadata lists day, rain, snow: correct it here, or "
         "add it to `labels` there"),
        ("[day, rain, day]", "label 3: 'day' a second time; keep one of the two"),
        ("[null]", "label 1: must be one label's name; write it, or take it out"),
        ("[day, [rain]]", "label 2: must be one label's name"),
    ],
)  # fmt: skip
def test_labels_at_odds_with_the_format_are_refused_by_file_line_image_and_label(
    value: str, says: str
) -> None:
    with pytest.raises(BadData) as caught:
        read_text(INFO, f"1.jpg: []\n0.jpg: {value}\n")
    assert str(caught.value).startswith(f'annotations.yaml, line 2, "0.jpg": {says}')


def test_metadata_must_list_the_labels() -> None:
    assert FORMAT.read_info({"labels": ["a", "b"]}, "metadata.yaml").categories == ("a", "b")
    with pytest.raises(BadData, match=r"metadata\.yaml: `labels` must list at least one name"):
        FORMAT.read_info({"categories": ["a"]}, "metadata.yaml")


# --- head ------------------------------------------------------------------------------------


def test_what_shows_a_label_at_one_place_counts_whole_beside_the_mean_of_all() -> None:
    classifier = MultilabelClassification(config(), {5: 4})
    somewhere, everywhere = torch.zeros(2, 1, 4, 3, 3).unbind()
    somewhere[0, :, 1, 2] = 1.0
    everywhere[0] = 1.0
    weight, bias = classifier.linear.weight.sum(1), classifier.linear.bias
    torch.testing.assert_close(
        classifier.outputs({5: somewhere})[0], weight / 9 + weight.clamp(min=0) + bias
    )
    torch.testing.assert_close(classifier.outputs({5: everywhere})[0], 2 * weight + bias)


def test_at_first_every_label_is_as_likely_as_the_prior_says() -> None:
    torch.manual_seed(0)
    head = MultilabelClassification(config(), {5: 8})
    found = head.predict(view({5: torch.randn(4, 8, 2, 2)}))
    assert all(p.probabilities.tolist() == pytest.approx([PRIOR] * 3, rel=0.2) for p in found)


@pytest.mark.parametrize("count", [1, 7, 1000])
def test_a_loss_of_labels_as_frequent_as_the_prior_is_one_however_many_there_are(
    count: int,
) -> None:
    head = MultilabelClassification(config(count), {5: 8})
    blank = {5: torch.zeros(20, 8, 1, 1)}
    truth = [LabelsTarget(torch.arange(count))] + [NONE] * 19  # each on one image of twenty
    loss = head.loss(plain(blank), truth)["binary_cross_entropy"]
    assert loss.mean.item() == pytest.approx(1, rel=1e-4)


# --- metric ----------------------------------------------------------------------------------


@given(st.integers(0, 10**6))
def test_precision_is_the_mean_over_labels_that_occur_and_f1_is_over_all(seed: int) -> None:
    draws = np.random.default_rng(seed)
    truth = draws.random((9, 3)) < [0.5, 0.3, 0]  # the last never occurs
    truth[0, 0] = True
    scores = (draws.integers(0, 8, (9, 3)) / 8).astype(np.float32)  # with ties
    found = measured(
        MultilabelClassification(config(), {5: 8}),
        [LabelsPrediction(torch.from_numpy(row)) for row in scores],
        [labels(*row.nonzero()[0].tolist()) for row in truth],
    )
    occur = truth.any(0)
    expected = average_precision_score(truth[:, occur], scores[:, occur], average="macro")
    assert found["average_precision"] == pytest.approx(expected)
    assert found["f1"] == pytest.approx(f1_score(truth, scores >= 0.5, average="micro"))


def test_a_set_without_any_label_has_no_precision() -> None:
    head = MultilabelClassification(config(), {5: 8})
    found = measured(head, [LabelsPrediction(torch.zeros(3))], [NONE])
    assert found == {}


# --- picture ---------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3))
def test_written_labels_are_read_as_those_that_are_likelier_than_not(shares: list[float]) -> None:
    prediction = LabelsPrediction(torch.tensor(shares))
    written = PAINTER(config()).written(prediction, (32, 32), letterboxing((32, 32), (32, 32)))
    target = read_back(INFO, written)
    assert isinstance(target, LabelsTarget)
    assert target.labels.tolist() == [i for i, share in enumerate(shares) if share >= 0.5]


def test_each_label_has_a_line_and_an_image_without_labels_stays_as_it_is() -> None:
    painter, image = PAINTER(config()), Image.new("RGB", (64, 64))

    def height(drawn: Image.Image) -> int:
        box = drawn.getbbox()
        return box[3] if box else 0

    assert height(painter.target(image.copy(), NONE)) == 0
    one = height(painter.target(image.copy(), labels(1)))
    two = height(painter.prediction(image.copy(), LabelsPrediction(torch.tensor([0.1, 0.9, 0.6]))))
    assert 5 < one < two - 5
