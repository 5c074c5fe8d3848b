from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sihl_api.model import Head
from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.data.documents import Value
from sihl_trainer.data.letterbox import letterboxing
from sihl_trainer.dataset.feeds import open_split
from sihl_trainer.errors import BadData
from sihl_trainer.tasks.regression.annotations import FORMAT, RangeInfo
from sihl_trainer.tasks.regression.head import Regression
from sihl_trainer.tasks.regression.picture import PAINTER
from sihl_trainer.tasks.regression.target import ValueTarget
from tests.support.datasets import jpeg, write
from tests.support.formats import read_back, read_text
from tests.support.heads import measured, plain, view

INFO = RangeInfo(Task.REGRESSION, range=(-10.0, 8.7))
HEAD = Head.model_validate({"name": "age", "task": "Regression"})


def head(low: float = -10.0, high: float = 8.7) -> Regression:
    torch.manual_seed(0)
    settings = Regression.settings(RangeInfo(Task.REGRESSION, range=(low, high)))
    config = HeadConfig(name="age", task=Task.REGRESSION, levels=[5, 5], settings=settings)
    return Regression(config, {5: 8})


def dataset(folder: Path, ends: list[float], values: dict[str, Any]) -> Path:
    metadata = {"task": "regression", "range": ends, "annotations": "age.json"}
    images = {f"images/{name}": jpeg(seed=index) for index, name in enumerate(values)}
    files = {"metadata.json": json.dumps(metadata), "age.json": json.dumps(values)}
    return write(folder, {**files, **images})


# --- format ----------------------------------------------------------------------------------


def test_an_image_has_a_number_within_the_range_whose_ends_belong_to_it() -> None:
    read = read_text(INFO, "0.jpg: 0.1\n1.jpg: null\n2.jpg: -10\n3.jpg: 8.7\n4.jpg: -1e-3\n")
    found = [read.target(f"{index}.jpg") for index in range(5)]
    assert found == [v and ValueTarget(v) for v in (0.1, None, -10.0, 8.7, -0.001)]
    assert "1.jpg" not in read.names


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("old", "'old' is no finite number: write one within [-10, 8.7], or null if not annotated"),
        (".nan", "'.nan' is no finite number"),
        (".inf", "'.inf' is no finite number"),
        ("1e999", "1e999 is no finite number"),
        ("true", "'true' is no finite number"),
        ("[1]", "[1] is no finite number"),
        ("8.71",
         "8.71 lies outside `range`, [-10, 8.7]: correct it here, or widen `range` in the metada"),
        ("-10.0001", "-10.0001 lies outside `range`"),
    ],
)  # fmt: skip
def test_a_value_at_odds_with_the_format_is_refused_by_file_line_and_image(
    value: str, says: str
) -> None:
    with pytest.raises(BadData) as caught:
        read_text(INFO, f"1.jpg: 0\n0.jpg: {value}\n")
    assert str(caught.value).startswith(f'annotations.yaml, line 2, "0.jpg": {says}')


@pytest.mark.parametrize(
    ("ends", "says"),
    [
        (None, "must be the lowest and the highest value, two numbers: [-10, 8.7]"),
        ("5", "two numbers"),
        (["1"], "two numbers"),
        (["1", "2", "3"], "two numbers"),
        (["1", "x"], "two numbers"),
        (["1", "nan"], "two numbers"),
        (["1", "inf"], "two numbers"),
        (["3", "3"], "[3, 3] must have the lower number first"),
        (["5", "-5"], "[5, -5] must have the lower number first"),
        (["-1e308", "1e308"], "is too wide"),
        (["0", "1e101"], "[0, 1e+101] is too wide: write the lowest and the highest value"),
        (["0", "1e-101"], "[0, 1e-101] is too narrow: write the lowest"),
    ],
)
def test_a_range_must_be_two_finite_numbers_the_lower_first(ends: Value, says: str) -> None:
    with pytest.raises(BadData) as caught:
        FORMAT.read_info({"range": ends}, "metadata.yaml")
    assert str(caught.value).startswith("metadata.yaml: `range`")
    assert says in str(caught.value)


def test_a_validation_set_may_have_a_range_but_no_value_beyond_that_of_training(
    tmp_path: Path,
) -> None:
    train = open_split(dataset(tmp_path / "train", [0, 10], {"0.jpg": 3}), [HEAD])
    wide = dataset(tmp_path / "wide", [-50, 50], {"0.jpg": 10, "1.jpg": None})
    assert open_split(wide, [HEAD], train.feeds).feeds["age"].target(
        "0.jpg", (24, 16)
    ) == ValueTarget(10.0)
    beyond = dataset(tmp_path / "beyond", [-50, 50], {"0.jpg": 11})
    with pytest.raises(BadData) as caught:
        open_split(beyond, [HEAD], train.feeds)
    assert str(caught.value) == (
        'age.json, "0.jpg": 11 lies outside the training dataset\'s `range`, [0, 10], beyond '
        "which the head predicts nothing: widen `range` there, or map the image to null"
    )


# --- head ------------------------------------------------------------------------------------


@given(st.floats(0, 1), st.sampled_from([(-10.0, 8.7), (1e6, 1e6 + 1), (-1e-9, 1e-9)]))
def test_a_histogram_that_is_predicted_as_it_is_learnt_means_its_value(
    place: float, ends: tuple[float, float]
) -> None:
    learner, span = head(*ends), ends[1] - ends[0]
    histogram = learner._histograms(torch.tensor([place]))
    assert histogram.sum().item() == pytest.approx(1)
    with torch.no_grad():
        learner.linear.weight.zero_()
        learner.linear.bias.copy_(histogram[0].clamp(min=1e-30).log())
    (found,) = learner.predict(view({5: torch.zeros(1, 8, 1, 1)}))
    assert ends[0] <= found <= ends[1]
    assert found == pytest.approx(ends[0] + place * span, abs=2e-3 * span)


def test_a_flat_prediction_costs_one() -> None:
    learner = head()
    with torch.no_grad():
        learner.linear.weight.zero_()
        learner.linear.bias.zero_()
    truth = [ValueTarget(v) for v in (-10.0, 0.0, 8.7)]
    loss = learner.loss(plain({5: torch.randn(3, 8, 2, 2)}), truth)["cross_entropy"]
    assert loss.mean.item() == pytest.approx(1)


def test_no_prediction_lies_outside_the_range() -> None:
    learner = head()
    with torch.no_grad():
        learner.linear.weight[0], learner.linear.weight[-1] = -50.0, 50.0
    features = torch.tensor([-1.0, 1.0])[:, None, None, None].expand(2, 8, 1, 1)
    assert learner.predict(view({5: features})) == [-10.0, 8.7]


# --- metric ----------------------------------------------------------------------------------


def test_errors_stand_beside_those_of_whoever_says_the_mean() -> None:
    truth = [ValueTarget(v) for v in (0.0, 1.0, 2.0, 5.0)]
    found = measured(head(), [0.0, 1.0, 2.0, 4.0], truth)
    assert found["mae"] == pytest.approx(0.25)
    assert found["rmse"] == pytest.approx(0.5)
    assert found["r2"] == pytest.approx(1 - 1 / 14)
    assert found["spearman"] == pytest.approx(1)
    assert found["mae_of_mean"] == pytest.approx(1.5)


def test_constant_values_are_learnt_and_measured_without_nan() -> None:
    learner, seen = head(), {5: torch.randn(4, 8, 2, 2)}
    truth = [ValueTarget(8.7)] * 4
    optimizer = torch.optim.Adam(learner.parameters(), 0.1)
    for _ in range(100):
        optimizer.zero_grad()
        learner.loss(plain(seen), truth)["cross_entropy"].mean.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    found = measured(learner, learner.predict(view(seen)), truth)
    assert found["mae"] < 0.2
    assert found["mae_of_mean"] == 0
    assert not {"r2", "spearman"} & found.keys()


# --- picture ---------------------------------------------------------------------------------


@given(st.floats(0, 1), st.sampled_from([(-10.0, 8.7), (0.1, 0.3), (-1e-9, 1e-9)]))
def test_a_written_value_is_read_as_the_one_predicted(
    place: float, ends: tuple[float, float]
) -> None:
    value = min(ends[0] + place * (ends[1] - ends[0]), ends[1])
    written = PAINTER(head().config).written(value, (8, 8), letterboxing((8, 8), (8, 8)))
    assert read_back(RangeInfo(Task.REGRESSION, range=ends), written) == ValueTarget(value)
