"""Depth estimation: its format, its head and its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from examples.digits import make
from sihl_api.model import Head as HeadSpec
from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.data.letterbox import letterboxing
from sihl_trainer.dataset.feeds import Split, open_split
from sihl_trainer.dataset.metadata import read_metadata
from sihl_trainer.errors import BadData
from sihl_trainer.tasks.depth_estimation.head import DepthEstimation
from sihl_trainer.tasks.depth_estimation.metric import DepthPrediction
from sihl_trainer.tasks.depth_estimation.picture import DepthPainter
from sihl_trainer.tasks.depth_estimation.target import DepthTarget
from sihl_trainer.tasks.picture import MapFile
from tests.support.datasets import encoded, jpeg, write
from tests.support.heads import measured, plain, view
from tests.support.overfit import digits, overfitted

HEAD = {"name": "far", "task": "DepthEstimation"}
RANGE = "range: [0.5, 10]\nscale: 0.001\n"
METADATA = f"task: depth estimation\n{RANGE}annotations: maps\n"


def dataset(folder: Path, values: np.ndarray, metadata: str = METADATA) -> Path:
    content = encoded(Image.fromarray(values), "PNG")
    files = {"images/a.jpg": jpeg(), "maps/a.png": content, "metadata.yaml": metadata.encode()}
    return write(folder, files)


def opened(folder: Path) -> Split:
    return open_split(folder, [HeadSpec.model_validate(HEAD)])


def head(channels: Mapping[int, int], nearest: float = 0.5) -> DepthEstimation:
    torch.manual_seed(0)
    config = HeadConfig(
        name="far",
        task="DepthEstimation",
        levels=[min(channels), max(channels)],
        settings={"range": [nearest, 10], "scale": 0.001},
    )
    return DepthEstimation(config, channels)


def features(channels: Mapping[int, int], batch: int, side: int) -> dict[int, torch.Tensor]:
    torch.manual_seed(1)
    return {
        level: torch.randn(batch, count, -(-side // 2**level), -(-side // 2**level))
        for level, count in channels.items()
    }


def random_target(side: int) -> DepthTarget:
    return DepthTarget(torch.randint(500, 10_001, (side, side), dtype=torch.int32), 0.001)


# --- format ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "scale"), [(np.uint8, 0.05), (np.uint16, 0.001)])
def test_maps_of_8_and_16_bits_are_kept_in_steps(
    tmp_path: Path, kind: type[np.generic], scale: float
) -> None:
    values = np.array([[0, 0.5 / scale], [3 / scale, 10 / scale]]).round().astype(kind)
    metadata = METADATA.replace("0.001", str(scale))
    target = opened(dataset(tmp_path, values, metadata)).feeds["far"].target("a.jpg", (24, 16))
    assert isinstance(target, DepthTarget)
    assert (target.steps * target.scale).tolist() == [[0, 0.5], [pytest.approx(3), 10]]
    assert target.steps.dtype == (torch.uint8 if kind is np.uint8 else torch.int32)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ("", "`range` must be the least and the greatest depth, 0 or more"),
        ("range: [1]", "`range` must be"),
        ("range: [2, 1]", "`range` must be"),
        ("range: [-1, 1]", "`range` must be"),
        ("range: [a, 1]", "`range` must be"),
        ("range: [0, 1]\nscale: 0", "`scale` must be what a value of 1 in a map stands for"),
        ("range: [0, 1]\nscale: mm", "`scale` must be"),
        ("range: [0, 1e31]", "`range` [0, 1e+31] has an end beyond 1e-30 or 1e+30: take another"),
        ("range: [1e-31, 1]", "`range` [1e-31, 1] has an end beyond"),
        ("range: [50, 50.001]", "`range` [50, 50.001] is too narrow: write the least and"),
        ("range: [0, 0.5]", "no value of a map, from 1 to 65535, lies within `range` [0, 0.5] whe"),
        (
            "range: [1, 2]\nscale: 1e-320",
            "no value of a map, from 1 to 65535, lies within `range` [",
        ),
    ],
)
def test_metadata_at_odds_with_the_schema_is_refused_by_field(
    tmp_path: Path, fields: str, says: str
) -> None:
    text = f"task: depth estimation\nannotations: maps\n{fields}"
    with pytest.raises(BadData) as caught:
        read_metadata(write(tmp_path, {"metadata.yaml": text}))
    assert str(caught.value).startswith(f"metadata.yaml: {says}")


@pytest.mark.parametrize("value", [499, 10_001])
def test_a_depth_out_of_range_is_told_with_its_pixel_and_both_remedies(
    tmp_path: Path, value: int
) -> None:
    values = np.full((16, 24), 600, np.uint16)
    values[3, 5] = value
    text = opened(dataset(tmp_path, values)).sets["maps"].fault("a.jpg", 24, 16)
    assert text is not None
    assert f"maps/a.png has depth {value / 1000:g} (value {value}) at x 5, y 3, outside" in text
    assert "`range`, or `scale`" in text


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (METADATA, None),
        ("range: [0.6, 20]\nscale: 0.001\n", None),
        ("range: [500, 10000]\n", "has depth 600 (value 600) at x 0, y 0, outside the training"),
        ("range: [0.1, 20]\nscale: 0.0005\n", "has depth 0.3 (value 600) at x 0, y 0, outside t"),
    ],
)
def test_a_validation_sets_depths_lie_in_the_training_sets_range_as_well(
    tmp_path: Path, fields: str, says: str | None
) -> None:
    values = np.full((16, 24), 600, np.uint16)
    trained = opened(dataset(tmp_path / "train", values)).feeds
    metadata = fields if fields is METADATA else METADATA.replace(RANGE, fields)
    folder = dataset(tmp_path / "validation", values, metadata)
    split = open_split(folder, [HeadSpec.model_validate(HEAD)], trained)
    text = split.sets["maps"].fault("a.jpg", 24, 16)
    assert (text is None) == (says is None)
    if text and says:
        assert says in text
        assert "training dataset's range [0.5, 10], beyond which the head predicts nothing" in text


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGB", "RGBA"])
def test_a_map_that_is_not_grey_is_refused(tmp_path: Path, mode: str) -> None:
    folder = dataset(tmp_path, np.full((16, 24), 600, np.uint16))
    Image.new(mode, (24, 16)).save(folder / "maps/a.png")
    text = opened(folder).sets["maps"].fault("a.jpg", 24, 16)
    assert text is not None
    assert text.startswith(f"maps/a.png has pixels of kind {mode}")
    assert text.endswith("save it as grey of 8 or 16 bits")


def test_a_map_of_another_aspect_ratio_is_a_fault(tmp_path: Path) -> None:
    split = opened(dataset(tmp_path, np.full((24, 16), 600, np.uint16)))
    assert "maps/a.png is 16 pixels wide" in (split.sets["maps"].fault("a.jpg", 24, 16) or "")
    split = opened(dataset(tmp_path, np.full((8, 12), 600, np.uint16)))
    assert split.sets["maps"].fault("a.jpg", 24, 16) is None


# --- head ------------------------------------------------------------------------------------


@pytest.mark.parametrize("nearest", [0, 0.5])
@pytest.mark.parametrize("channels", [{2: 16, 3: 16, 4: 16}, {3: 8}])
def test_losses_are_of_the_order_of_one_on_any_levels(
    channels: dict[int, int], nearest: float
) -> None:
    learner, given = head(channels, nearest), features(channels, 2, 64)
    losses = learner.loss(plain(given), [random_target(64), random_target(64)])
    assert 0.3 < losses["silog"].mean.item() < 3
    assert 0 < losses["gradient"].mean.item() < 3
    for found in learner.predict(view(given)):
        assert found.depths.shape == (64, 64)
        assert nearest <= found.depths.min().item()
        assert found.depths.max().item() <= 10.001


@pytest.mark.parametrize("known", [False, True])
def test_without_a_pixel_to_learn_from_losses_are_zeros_on_all_weights(known: bool) -> None:
    channels = {2: 8, 3: 8}
    learner = head(channels)
    blank = DepthTarget(torch.zeros(32, 32, dtype=torch.uint8), 0.001)
    losses = learner.loss(plain(features(channels, 2, 32)), [blank if known else None, None])
    assert [loss.mean.item() for loss in losses.values()] == [0, 0]
    torch.stack([loss.total for loss in losses.values()]).sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and not p.grad.any() for p in learner.parameters())


def test_unknown_pixels_teach_nothing() -> None:
    channels = {2: 8}
    learner, given = head(channels), features(channels, 1, 32)
    target = random_target(32)
    target.steps[:, 16:] = 0
    whole = learner.loss(plain(given), [target])
    left = {name: loss.total for name, loss in whole.items()}
    with torch.no_grad():
        depths = learner._depths(view(given))
    true = target.steps[:, :16] * target.scale
    error = (depths[0, :, :16].log() - true.log()) / (np.log(20) / 12**0.5)
    expected = (error.square().mean() - 0.85 * error.mean().square()).sqrt()
    assert torch.allclose(left["silog"], expected, rtol=1e-4)
    assert whole["silog"].amount == 1


def test_a_true_map_has_no_error() -> None:
    target = random_target(16)
    target.steps[0] = 0
    found = DepthPrediction(torch.where(target.steps > 0, target.steps * target.scale, 3.0))
    results = measured(head({2: 8}), [found], [target])
    assert results == {
        "abs_rel": pytest.approx(0, abs=1e-6),
        "rmse": pytest.approx(0, abs=1e-6),
        "delta1": 1,
        "silog": pytest.approx(0, abs=1e-4),
    }


# --- pictures --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(24, 16), (20, 1), (1, 1)])
def test_what_is_written_is_read_again(tmp_path: Path, size: tuple[int, int]) -> None:
    folder = dataset(tmp_path, np.full((16, 24), 600, np.uint16))
    settings = DepthEstimation.settings(opened(folder).head_info["far"])
    painter = DepthPainter(HeadConfig(name="far", task="", levels=[2, 2], settings=settings))
    depths = torch.full((32, 32), 9.9994)
    depths[:, :16] = 0.2  # nearer than the range allows
    written = painter.written(DepthPrediction(depths), size, letterboxing(size, (32, 32)))
    assert isinstance(written, MapFile)
    (folder / f"maps/a{written.suffix}").write_bytes(written.content)
    split = opened(folder)
    assert split.sets["maps"].fault("a.jpg", *size) is None
    again = split.feeds["far"].target("a.jpg", size)
    assert isinstance(again, DepthTarget)
    assert again.steps.shape == size[::-1]
    assert set(again.steps.flatten().tolist()) <= {500, 9999}


def test_unknown_pixels_show_the_image_and_nearer_ones_are_brighter() -> None:
    painter = DepthPainter(
        HeadConfig(name="", task="", levels=[2, 2], settings={"range": [0, 10], "scale": 1})
    )
    canvas = Image.new("RGB", (4, 1), (1, 2, 3))
    steps = torch.tensor([[0, 1, 5, 10]], dtype=torch.int32)
    pixels = np.asarray(painter.target(canvas, DepthTarget(steps, 1.0)))[0].astype(int)
    assert pixels[0].tolist() == [1, 2, 3]
    assert pixels[1].sum() > pixels[2].sum() > pixels[3].sum()
    drawn = painter.prediction(canvas, DepthPrediction(steps.clamp(min=1).float()))
    assert np.array_equal(np.asarray(drawn)[0, 1:], pixels[1:])


def test_digits_are_read_in_full(tmp_path: Path) -> None:
    make("depth", tmp_path, count=3, held_out=1, size=32)
    split = opened(tmp_path / "train")
    (annotations,) = split.sets.values()
    assert [annotations.fault(name, 32, 32) for name in split.names] == [None] * 3


@pytest.mark.slow
def test_a_head_learns_eight_images_by_heart(tmp_path: Path) -> None:
    shown = digits("depth", tmp_path, Task.DEPTH_ESTIMATION)
    results = overfitted(shown.info, shown.images, shown.targets, steps=130, rate=3e-3)
    assert results["abs_rel"] < 0.06
    assert results["delta1"] > 0.95
