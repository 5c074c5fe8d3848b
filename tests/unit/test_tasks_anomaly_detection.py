from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.tasks.anomaly_detection.head import AnomalyDetection
from sihl_trainer.tasks.anomaly_detection.metric import (
    AnomalyPrediction,
    Detectability,
    Examined,
)
from sihl_trainer.tasks.passes import Pass, View
from sihl_trainer.tasks.target import ImageTarget
from tests.support.overfit import digits, overfitted

TARGET = ImageTarget()


def examined(plain: float, blended: float, changed: Tensor) -> Examined:
    odd = torch.where(changed, 0.9, 0.1)
    return Examined(AnomalyPrediction(odd * 0, plain), AnomalyPrediction(odd, blended), changed)


def detectability(*rows: Examined) -> dict[str, float]:
    metric = Detectability()
    metric.update(rows, [TARGET] * len(rows), range(len(rows)))
    return metric.compute()


def test_a_blended_image_is_odd_only_where_something_changed() -> None:
    some, none = torch.tensor([[True, False]]), torch.zeros(1, 2, dtype=torch.bool)
    found = detectability(examined(0.1, 0.8, some), examined(0.2, 0.0, none))
    assert found["synthetic_auroc"] == 1
    assert found["synthetic_pixel_auroc"] == 1
    found = detectability(examined(0.1, 0.15, some), examined(0.2, 0.0, none))
    assert found["synthetic_auroc"] == 0.5


def test_one_normal_image_of_a_hundred_exceeds_the_threshold() -> None:
    none = torch.zeros(1, 1, dtype=torch.bool)
    found = detectability(*[examined(score / 101, 1.0, none) for score in range(101)])
    assert found["threshold"] == pytest.approx(99 / 101)


def head() -> AnomalyDetection:
    config = HeadConfig(name="h", task="AnomalyDetection", levels=[2, 2], settings={})
    return AnomalyDetection(config, {2: 4})


def test_changed_and_unchanged_pixels_have_the_same_say() -> None:
    detector = head()
    torch.nn.init.zeros_(detector.odd.weight)
    assert detector.odd.bias is not None
    torch.nn.init.constant_(detector.odd.bias, 2.0)
    changed = torch.zeros(1, 16, 16, dtype=torch.bool)
    changed[0, 3, 4:9] = True
    features = {2: torch.randn(1, 4, 4, 4)}
    blended = View(torch.zeros(1, 3, 16, 16), features, changed)
    found = detector.loss({Pass.BLENDED: blended}, [TARGET])
    assert float(found["changed"].mean) == pytest.approx(math.log1p(math.exp(-2)), rel=1e-5)
    assert float(found["unchanged"].mean) == pytest.approx(math.log1p(math.exp(2)), rel=1e-5)
    assert found["changed"].amount == 5
    assert found["unchanged"].amount == 256 - 5


def test_nothing_is_learnt_of_a_pass_in_which_all_is_normal() -> None:
    # A pass's batch is normalized by itself: that tells which pass it is, and so that all is.
    assert head().passes == {Pass.BLENDED}
    assert head().examined == {Pass.PLAIN, Pass.BLENDED}


def test_a_score_is_of_the_mean_logit_of_the_oddest_hundredth() -> None:
    found = head().predict(View(torch.zeros(2, 3, 80, 80), {2: torch.randn(2, 4, 20, 20)}))
    for each in found:
        assert each.map.shape == (20, 20)
        oddest = each.map.flatten().sort().values[-4:].logit().mean()
        assert each.score == pytest.approx(float(oddest.sigmoid()), rel=1e-5)


def test_of_two_images_that_are_nearly_surely_odd_the_surer_one_scores_more() -> None:
    detector = head()
    assert detector.odd.bias is not None
    torch.nn.init.constant_(detector.odd.weight, 0.0)
    torch.nn.init.constant_(detector.odd.bias, 30.0)
    view = View(torch.zeros(1, 3, 80, 80), {2: torch.randn(1, 4, 20, 20)})
    surely = detector.predict(view)[0].score
    torch.nn.init.constant_(detector.odd.bias, 20.0)
    less = detector.predict(view)[0].score
    assert less < surely <= 1


@pytest.mark.slow
def test_what_was_blended_into_eight_images_is_told_from_them(tmp_path: Path) -> None:
    shown = digits("anomaly", tmp_path, Task.ANOMALY_DETECTION)
    found = overfitted(shown.info, shown.images, shown.targets, steps=200, rounds=8)
    assert found["synthetic_auroc"] > 0.8  # some of what is blended in is hardly seen
    assert found["synthetic_pixel_auroc"] > 0.85
