from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sihl_api.model import Head
from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.data.letterbox import letterboxing
from sihl_trainer.dataset.feeds import open_split
from sihl_trainer.errors import BadData
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.metric_learning.annotations import FORMAT
from sihl_trainer.tasks.metric_learning.head import MARGIN, MetricLearning, scale
from sihl_trainer.tasks.metric_learning.metric import EmbeddingPrediction
from sihl_trainer.tasks.metric_learning.picture import PAINTER
from sihl_trainer.tasks.metric_learning.target import IdentityTarget
from tests.support.datasets import jpeg, write
from tests.support.formats import read_back, read_text
from tests.support.heads import measured, plain, view

INFO = HeadInfo(Task.METRIC_LEARNING, ("ann", "bob", "eve"))
HEAD = Head.model_validate({"name": "who", "task": "MetricLearning"})


def head(count: int = 3, width: int = 8) -> MetricLearning:
    torch.manual_seed(0)
    settings = {"categories": list(map(str, range(count))), "dimension": 16}
    config = HeadConfig(name="who", task=Task.METRIC_LEARNING, levels=[5, 5], settings=settings)
    return MetricLearning(config, {5: width})


def lying(*embedding: float) -> EmbeddingPrediction:
    return EmbeddingPrediction(torch.tensor(embedding), 0, 1.0)


def dataset(folder: Path, identities: list[str]) -> Path:
    """Two images of each identity."""
    metadata = {
        "task": "metric learning", "identities": identities, "annotations": "who.yaml",
    }  # fmt: skip
    lines = [f"{index}.jpg: {identities[index // 2]}\n" for index in range(2 * len(identities))]
    images = {f"images/{index}.jpg": jpeg(seed=index) for index in range(len(lines))}
    files = {"metadata.json": json.dumps(metadata), "who.yaml": "".join(lines)}
    return write(folder, {**files, **images})


# --- format ----------------------------------------------------------------------------------


def test_an_image_has_one_identity_and_null_is_not_annotated() -> None:
    read = read_text(INFO, "0.jpg: eve\n1.jpg: null\n")
    assert read.target("0.jpg") == IdentityTarget(2)
    assert read.target("1.jpg") is None
    assert read.names == ["0.jpg"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("joe",
         "unknown identity 'joe'; the metadata lists ann, bob, eve: correct it here, or add it to "
         "`identities` there"),
        ("[ann]", "must be one identity's name, or null if not annotated"),
        ("{ann: bob}", "must be one identity's name"),
    ],
)  # fmt: skip
def test_an_identity_at_odds_with_the_format_is_refused_by_file_line_and_image(
    value: str, says: str
) -> None:
    with pytest.raises(BadData) as caught:
        read_text(INFO, f"1.jpg: ann\n0.jpg: {value}\n")
    assert str(caught.value).startswith(f'annotations.yaml, line 2, "0.jpg": {says}')


def test_metadata_must_list_the_identities() -> None:
    with pytest.raises(BadData, match=r"metadata\.yaml: `identities` must list at least one name"):
        FORMAT.read_info({"categories": ["a"]}, "metadata.yaml")


def test_validation_may_have_identities_of_its_own_which_come_after_those_of_training(
    tmp_path: Path,
) -> None:
    train = open_split(dataset(tmp_path / "train", ["ann", "bob"]), [HEAD])
    folder = dataset(tmp_path / "validation", ["joe", "bob", "eve"])
    feed = open_split(folder, [HEAD], train.feeds).feeds["who"]
    assert feed.info.categories == ("ann", "bob", "joe", "eve")
    found = [feed.target(f"{index}.jpg", (24, 16)) for index in (0, 2, 4)]
    assert found == [IdentityTarget(2), IdentityTarget(1), IdentityTarget(3)]


# --- head ------------------------------------------------------------------------------------


def test_embeddings_have_length_one_and_come_with_the_nearest_identity() -> None:
    learner = head()
    with torch.no_grad():
        learner.prototypes[1] = 7 * learner.projections({5: torch.ones(1, 8, 1, 1)})[0]
    (found,) = learner.predict(view({5: torch.ones(1, 8, 2, 3)}))
    assert found.embedding.shape == (8,)
    assert found.embedding.dtype == torch.float32
    assert found.embedding.norm().item() == pytest.approx(1)
    assert found.identity == 1
    assert found.similarity == pytest.approx(1)


def test_a_thing_in_a_part_of_the_image_counts_more_than_the_ground_around_it() -> None:
    ground = torch.full((1, 8, 4, 4), 0.1)
    thing = ground.clone()
    thing[:, 0, 1:3, 1:3] = 1.0  # a quarter of the places
    mean = thing.mean((2, 3))[0, 0].item()
    found = head().pooled({5: thing})[0]
    assert found[1:].tolist() == pytest.approx([0.1] * 7, abs=1e-4)
    assert mean < found[0].item() < 1
    assert found[0].item() == pytest.approx((0.25 + 0.75 * 0.1**3) ** (1 / 3), abs=1e-4)


def test_what_a_neck_has_below_zero_counts_as_what_it_has_above() -> None:
    features = torch.randn(2, 8, 3, 3)
    above, below = head().pooled({5: features}), head().pooled({5: -features})
    torch.testing.assert_close(above, -below)
    one = torch.full((1, 8, 1, 1), -0.5)
    torch.testing.assert_close(head().pooled({5: one}), one[..., 0, 0], atol=1e-5, rtol=0)


def test_features_that_are_nothing_at_all_have_finite_gradients() -> None:
    features = torch.stack([torch.zeros(8, 2, 2), -torch.ones(8, 2, 2)]).requires_grad_()
    loss = head().loss(plain({5: features}), [IdentityTarget(0), IdentityTarget(1)])["cosface"]
    loss.total.backward()  # type: ignore[no-untyped-call]
    assert loss.mean.isfinite()
    assert features.grad is not None
    assert features.grad.isfinite().all()


def test_the_margin_is_taken_off_the_right_identitys_cosine_alone() -> None:
    learner, seen = head(), {5: torch.randn(4, 8, 2, 2)}
    cosines = learner.outputs(seen).detach()
    truth = [0, 2, 2, 1]
    shifted = cosines.clone()
    shifted[range(4), truth] -= MARGIN
    chances = (scale(3) * shifted).softmax(1)[range(4), truth]
    loss = learner.loss(plain(seen), [IdentityTarget(i) for i in truth])["cosface"]
    at_first = np.log(1 + 2 * np.exp(scale(3) * MARGIN))
    assert loss.mean.item() == pytest.approx(-chances.log().mean().item() / at_first, rel=1e-5)


def test_the_scale_grows_with_the_number_of_identities_and_is_sane_for_one() -> None:
    assert scale(1) == scale(2) == scale(3) > 1
    assert scale(1001) == pytest.approx(2**0.5 * np.log(1000))


def test_a_single_identity_teaches_nothing() -> None:
    learner = head(1)
    loss = learner.loss(plain({5: torch.randn(2, 8, 1, 1)}), [IdentityTarget(0)] * 2)["cosface"]
    loss.total.backward()  # type: ignore[no-untyped-call]
    assert loss.mean.item() == 0
    assert all(w.grad is not None and (w.grad == 0).all() for w in learner.parameters())


# --- metric ----------------------------------------------------------------------------------


def test_an_identity_with_one_image_is_looked_for_by_nobody() -> None:
    found = [lying(1, 0), lying(0.9, 0.1), lying(0, 1), lying(0.1, 0.9), lying(-1, 0)]
    learner = MetricLearning(head().config.model_copy(update={
        "settings": {"categories": ["a"], "dimension": 16}}), {5: 2})  # fmt: skip
    pairs = [IdentityTarget(i) for i in (0, 0, 1, 1, 2)]
    assert measured(learner, found, pairs) == {"recall1": 1.0, "r_precision": 1.0, "map_r": 1.0}
    assert measured(learner, found[3:], pairs[3:]) == {}


# --- picture ---------------------------------------------------------------------------------


@given(st.integers(0, 2))
def test_a_written_identity_is_read_as_the_nearest(identity: int) -> None:
    painter = PAINTER(head().config.model_copy(update={
        "settings": {"categories": list(INFO.categories)}}))  # fmt: skip
    prediction = EmbeddingPrediction(torch.tensor([1.0]), identity, 0.5)
    written = painter.written(prediction, (8, 8), letterboxing((8, 8), (8, 8)))
    assert read_back(INFO, written) == IdentityTarget(identity)


def test_identities_that_only_validation_has_can_be_drawn() -> None:
    painter, image = PAINTER(head().config), Image.new("RGB", (64, 64))
    known, new = (painter.target(image.copy(), IdentityTarget(i)) for i in (2, 5))
    assert known.getbbox() is not None
    assert new.getbbox() is not None
    assert known.tobytes() != new.tobytes()
