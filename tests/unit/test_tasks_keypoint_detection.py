from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from sihl_api.model import Head
from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.data.letterbox import letterboxing
from sihl_trainer.dataset.feeds import check_suited, open_split
from sihl_trainer.errors import BadConfig, BadData
from sihl_trainer.tasks.dense.assignment import assign
from sihl_trainer.tasks.dense.points import grid
from sihl_trainer.tasks.keypoint_detection.annotations import FORMAT, KeypointInfo
from sihl_trainer.tasks.keypoint_detection.geometry import areas, boxes, distances
from sihl_trainer.tasks.keypoint_detection.head import Instances, KeypointDetection
from sihl_trainer.tasks.keypoint_detection.metric import KeypointsPrediction
from sihl_trainer.tasks.keypoint_detection.picture import KeypointsPainter
from sihl_trainer.tasks.keypoint_detection.refinement import Refinement, neighbourhood
from sihl_trainer.tasks.keypoint_detection.target import KeypointsTarget
from sihl_trainer.tasks.measures.geometry import keypoint_similarity
from tests.support.datasets import job, jpeg, write
from tests.support.formats import read_back, read_text
from tests.support.heads import measured, plain
from tests.support.overfit import digits, overfitted

NAMES = ("left", "right", "tail")
INFO = KeypointInfo(Task.KEYPOINT_DETECTION, NAMES, (("left", "right"),))
SPEC = {"name": "points", "task": "KeypointDetection"}
METADATA = "task: keypoint detection\nkeypoints: [left, right, tail]\nannotations: a.yaml\n"


def head() -> KeypointDetection:
    torch.manual_seed(0)
    config = HeadConfig(
        name="points",
        task=Task.KEYPOINT_DETECTION.value,
        levels=[3, 4],
        settings=KeypointDetection.settings(INFO),
    )
    return KeypointDetection(config, {3: 16, 4: 16})


def features() -> dict[int, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {level: torch.randn(1, 16, 64 >> level, 64 >> level, generator=generator)
            for level in (3, 4)}  # fmt: skip


def target(*instances: list[tuple[float, float] | None]) -> KeypointsTarget:
    visible = torch.tensor([[each is not None for each in row] for row in instances])
    points = torch.tensor([[each or (0.0, 0.0) for each in row] for row in instances])
    return KeypointsTarget(
        points.float().view(-1, 3, 2), visible.bool().view(-1, 3), torch.tensor(INFO.swap)
    )


def prediction(shown: KeypointsTarget, score: float = 0.9) -> KeypointsPrediction:
    scores = torch.full((len(shown.points),), score)
    return KeypointsPrediction(shown.points.clone(), shown.visible.float(), scores)


CAT = target([(10, 10), (40, 12), (25, 50)])


# --- format ----------------------------------------------------------------------------------


def read(text: str) -> KeypointsTarget:
    found = read_text(INFO, f"0.jpg: {text}").target("0.jpg")
    assert isinstance(found, KeypointsTarget)
    return found


def test_what_is_null_or_left_out_is_invisible_and_a_score_is_ignored() -> None:
    found = read("[{tail: [1, 2.5], left: null, score: 0.7}, {right: [3, 4], left: [5, 6]}]")
    assert found.points.tolist() == [[[0, 0], [0, 0], [1, 2.5]], [[5, 6], [3, 4], [0, 0]]]
    assert found.visible.tolist() == [[False, False, True], [True, True, False]]
    assert found.swap.tolist() == [1, 0, 2]


def test_a_keypoint_counts_where_it_is_visible() -> None:
    text = "0.jpg: [{left: [1, 2], tail: null}, {left: [3, 4], tail: [5, 6]}]\n1.jpg: []"
    assert read_text(INFO, text).contents(INFO) == {"left": 2, "right": 0, "tail": 1}
    assert read_text(INFO, "0.jpg: []").contents(INFO) == {"left": 0, "right": 0, "tail": 0}


def test_null_is_not_annotated_and_an_empty_list_is_no_instance() -> None:
    found = read_text(INFO, "0.jpg: null\n1.jpg: []\n")
    nothing = found.target("1.jpg")
    assert found.target("0.jpg") is None
    assert isinstance(nothing, KeypointsTarget)
    assert nothing.points.shape == (0, 3, 2)


def test_an_instance_that_shows_no_keypoint_is_left_out_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        found = read("[{}, {left: [1, 2]}, {tail: null}]")
    assert found.points.tolist() == [[[1, 2], [0, 0], [0, 0]]]
    assert "2 of 3 instances in annotations.yaml show no keypoint and are left out" in caplog.text


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[{nose: [1, 2]}]",
         "instance 1: unknown keypoint 'nose'; the metadata lists left, right, tail: correct it "
         "here, or add it to `keypoints` there"),
        ("[{}, {left: [1]}]", "instance 2: left must be [x, y], two numbers, or null where it is"),
        ("[{left: [1, 2, 0]}]", "and is [1, 2, 0]: leave out the third number, COCO's visibility"),
        ("[{left: [1, x]}]", "left must be [x, y], two numbers"),
        ("[{left: 1}]", "left must be [x, y], two numbers"),
        ("[{left: [1, .nan]}]", "left must be [x, y], two numbers"),
        ("[left]", "instance 1: must be {keypoint: [x, y], ...}, null for an invisible one"),
        ("[null]", "instance 1: must be {keypoint: [x, y], ...}"),
        ("{left: [1, 2]}", "must be a list of instances, [] for none, null if not annotated"),
    ],
)  # fmt: skip
def test_an_instance_at_odds_with_the_format_is_refused_by_file_line_image_and_entry(
    line: str, says: str
) -> None:
    with pytest.raises(BadData) as caught:
        read_text(INFO, f"1.jpg: []\n0.jpg: {line}\n")
    assert str(caught.value).startswith('annotations.yaml, line 2, "0.jpg": ')
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("symmetry", "says"),
    [
        ("left", "must list pairs of keypoints: [[left_eye, right_eye]]"),
        ([["left"]], "must list pairs of keypoints"),
        ([["left", "right", "tail"]], "must list pairs of keypoints"),
        ([["left", "nose"]], "has 'nose', which `keypoints` does not list: left, right, tail"),
        ([["left", "left"]], "has 'left' twice: a keypoint has one counterpart"),
        ([["left", "right"], ["tail", "left"]], "has 'left' twice"),
    ],
)
def test_pairs_are_of_two_different_keypoints_each_in_one_at_most(symmetry: Any, says: str) -> None:
    with pytest.raises(BadData) as caught:
        FORMAT.read_info({"keypoints": list(NAMES), "symmetry": symmetry}, "metadata.yaml")
    assert str(caught.value).startswith(f"metadata.yaml: `symmetry` {says}")
    with pytest.raises(BadData, match="`keypoints` must list"):
        FORMAT.read_info({}, "metadata.yaml")


@pytest.mark.parametrize(("x", "fits"), [(24.4, True), (25, False), (-0.4, True), (-1, False)])
def test_a_keypoint_outside_its_image_is_a_fault_of_its_own_entry(x: float, fits: bool) -> None:
    text = f"0.jpg: [{{}}, {{left: [1, 1]}}, {{left: [2, 2], tail: [{x}, 3]}}]"
    fault = read_text(INFO, text).fault("0.jpg", 24, 16)
    assert (fault is None) == fits
    if fault:
        assert fault.startswith(
            f'annotations.yaml, "0.jpg", instance 3: tail [{x:g}, 3] lies outside the image, which '
            "is 24 pixels wide and 16 high: correct it, in pixels from the top left"
        )


@pytest.mark.parametrize(
    ("symmetry", "head_spec", "flip", "suits"),
    [
        ("", SPEC, True, False),
        ("", SPEC, False, True),
        ("symmetry: [[left, right]]", SPEC, True, True),
        ("symmetry: []", SPEC, True, True),
        ("", {"name": "views", "task": "Autoencoding"}, True, True),
    ],
)
def test_mirrored_images_are_refused_unless_the_pairs_are_known(
    tmp_path: Path, symmetry: str, head_spec: Mapping[str, Any], flip: bool, suits: bool
) -> None:
    files = {"metadata.yaml": METADATA + symmetry, "a.yaml": "0.jpg: []"}
    folder = write(tmp_path, {**files, "images/0.jpg": jpeg()})
    spec = job(head_spec, training={"augmentation": {"horizontalFlip": flip}})
    split = open_split(folder, [Head.model_validate(head_spec)])
    if suits:
        check_suited(split, spec)
        return
    with pytest.raises(BadConfig) as caught:
        check_suited(split, spec)
    assert "head 'points': training.augmentation.horizontalFlip is on" in str(caught.value)
    assert "`symmetry: [[left_eye, right_eye], ...]`" in str(caught.value)


def test_heads_that_convert_keypoints_to_boxes_may_see_mirrored_images() -> None:
    head_spec = {"name": "boxes", "task": "ObjectDetection"}
    spec = job(head_spec, training={"augmentation": {"horizontalFlip": True}})
    unpaired = KeypointInfo(Task.KEYPOINT_DETECTION, NAMES)
    annotations = read_text(unpaired, "0.jpg: []")
    assert annotations.unsuited(Head.model_validate(head_spec), spec) is None
    assert annotations.unsuited(Head.model_validate(SPEC), spec) is not None


# --- target ----------------------------------------------------------------------------------


def test_in_a_mirrored_image_the_two_of_a_pair_change_places() -> None:
    shown = target([(10, 10), None, (25, 50)])
    mirrored = shown.mirrored(64)
    assert mirrored.visible.tolist() == [[False, True, True]]
    assert mirrored.points.tolist() == [[[0, 0], [54, 10], [39, 50]]]
    again = mirrored.mirrored(64)
    assert torch.equal(again.points, shown.points)
    assert torch.equal(again.visible, shown.visible)


def test_placed_keypoints_follow_their_image_and_invisible_ones_stay_zero() -> None:
    fit = letterboxing((32, 16), (64, 64))
    placed = target([(10, 10), None, (31, 0)]).placed(fit)
    assert placed.points.tolist() == [[[20, 36], [0, 0], [62, 16]]]


# --- geometry and assignment -----------------------------------------------------------------


@pytest.mark.parametrize(
    "instance",
    [[(20, 20), None, None], [(20, 20), (20, 40), None], [(4, 4), (14, 14), (24, 24)]],
)
def test_one_keypoint_and_keypoints_on_a_line_have_a_box_that_holds_them_and_an_area(
    instance: list[tuple[float, float] | None],
) -> None:
    shown = target(instance)
    around = boxes(shown.points, shown.visible)
    seen = shown.points[shown.visible]
    assert (seen >= around[0, :2] + 1).all()
    assert (seen <= around[0, 2:] - 1).all()
    assert float(areas(around)) >= 256


@given(st.integers(0, 2**31))
def test_distances_are_those_of_cocos_similarity(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    true, found = 40 * torch.rand(2, 4, 3, 2, generator=generator)
    found = true + 0.1 * found
    visible = torch.ones(4, 3, dtype=torch.bool)
    area = areas(boxes(true, visible))
    sigmas = (0.05, 0.1, 0.2)
    ours = (-distances(found, true, area, sigmas)).exp().mean(-1)
    theirs = keypoint_similarity(found, true, visible, area, sigmas).diagonal()
    torch.testing.assert_close(ours.double(), torch.from_numpy(theirs.copy()), atol=1e-4, rtol=1e-4)


def instances(shown: KeypointsTarget) -> Instances:
    return head()._instances([shown], torch.device("cpu"))


def test_how_well_keypoints_fit_falls_with_distance_and_asks_for_visible_ones_only() -> None:
    truth = instances(target([(10, 10), None, (25, 50)]))
    exact = truth.points.clone()
    exact[..., 1, :] = 1000.0  # nobody knows
    near, far, further = (exact + offset for offset in (0.1, 40, 60))
    fits = [float(truth.fit(each)[0, 0, 0]) for each in (exact, near, far, further)]
    assert fits[0] == pytest.approx(1)
    assert fits == sorted(fits, reverse=True)
    assert fits[3] > 0  # however far: something can be learnt
    oks = keypoint_similarity(near[0], truth.points[0], truth.visible[0],
                              areas(truth.boxes)[0], truth.sigmas)  # fmt: skip
    assert fits[1] == pytest.approx(float(oks[0, 0]), abs=1e-3)


def test_of_two_instances_at_one_place_a_point_learns_the_one_that_it_fits() -> None:
    upright, lying = [(20.0, 10.0), (20.0, 40.0), None], [(5.0, 25.0), (35.0, 25.0), None]
    shown = target(upright, lying)
    points = torch.tensor([[20.0, 25.0]]).repeat(4, 1)
    predicted = shown.points[[0, 1, 1, 0]][None] + 1.0
    found = assign(torch.full((1, 4, 1), 0.5), predicted, points, instances(shown))
    assert found.owner[0].tolist() == [0, 1, 1, 0]
    assert (found.weight > 0.5).all()


# --- loss ------------------------------------------------------------------------------------


def test_where_an_invisible_keypoint_is_said_to_be_costs_nothing() -> None:
    detector = head()
    shown = target([(10, 10), None, (40, 50)])
    before = detector.loss(plain(features()), [shown])["keypoints"].mean.detach()
    assert detector.offset.bias is not None
    with torch.no_grad():
        detector.offset.bias[2:4] += 3.0
    after = detector.loss(plain(features()), [shown])["keypoints"].mean.detach()
    torch.testing.assert_close(after, before)
    with torch.no_grad():
        detector.offset.bias[:2] += 3.0
    wrong = detector.loss(plain(features()), [shown])["keypoints"].mean.detach()
    assert float(wrong) != float(before)


@pytest.mark.parametrize("seen", [1, 2])
def test_a_few_visible_keypoints_are_learnt_from_with_finite_gradients(seen: int) -> None:
    detector = head()
    shown = target([(30.0, 12.0 + 9 * k) if k < seen else None for k in range(3)])
    losses = detector.loss(plain(features()), [shown])
    total = torch.stack([loss.mean for loss in losses.values()]).sum()
    total.backward()  # type: ignore[no-untyped-call]
    assert 0.1 < float(total.detach()) < 10
    assert all(p.grad is not None and p.grad.isfinite().all() for p in detector.parameters())


# --- metric ----------------------------------------------------------------------------------


def test_an_exact_prediction_scores_one_whatever_it_says_of_invisible_keypoints() -> None:
    shown = target([(10, 10), None, (25, 50)], [(60, 60), None, None])
    found = prediction(shown)
    found.points[~shown.visible] = 33.0
    result = measured(head(), [found], [shown])
    assert result == pytest.approx({"map": 1, "map50": 1, "map75": 1, "mar100": 1, "pck": 1})
    nothing = prediction(target())
    assert set(measured(head(), [nothing], [shown]).values()) == {0}
    assert measured(head(), [nothing], [target()]) == {}


def test_a_keypoint_is_correct_within_a_tenth_of_the_instances_size() -> None:
    size = float(areas(boxes(CAT.points, CAT.visible)).sqrt())
    found = prediction(CAT)
    found.points[0, 0, 0] += 0.09 * size
    found.points[0, 1, 0] += 0.11 * size
    assert measured(head(), [found], [CAT])["pck"] == pytest.approx(2 / 3)


@pytest.mark.slow
def test_eight_images_are_learnt_by_heart(tmp_path: Path) -> None:
    learnt = digits("keypoints", tmp_path, Task.KEYPOINT_DETECTION)
    found = overfitted(learnt.info, learnt.images, learnt.targets, steps=80)
    assert found["map50"] > 0.95
    assert found["map"] > 0.7
    assert found["pck"] > 0.9


# --- a second look ---------------------------------------------------------------------------


def test_a_second_look_sees_what_lies_around_the_expected_place() -> None:
    # Features that tell where they are: a cell's x and y, in pixels.
    side, stride = 8, 4
    x, y = grid(torch.Size((side, side)), stride, torch.device("cpu")).T
    where = torch.stack((x, y)).view(1, 2, side, side)
    place = torch.tensor([[[[13.0, 9.5], [20.5, 17.0]]]])  # [1, 1, 2, 2]
    seen = neighbourhood(where, stride, place).view(1, 1, 2, 9, 2)
    torch.testing.assert_close(seen[..., 4, :], place)
    torch.testing.assert_close(seen[..., 0, :], place - stride)


def test_a_second_look_begins_with_hardly_a_shift_and_at_nobody() -> None:
    refine = Refinement(16, 3)
    expected = torch.rand(2, 5, 3, 2) * 32
    found = refine(torch.randn(2, 16, 8, 8), 4, torch.randn(2, 5, 16), expected)
    assert (found - expected).abs().max() < 1
    nobody = refine(torch.randn(2, 16, 8, 8), 4, torch.randn(2, 0, 16), expected[:, :0])
    assert nobody.shape == (2, 0, 3, 2)


# --- pictures --------------------------------------------------------------------------------


def painter() -> KeypointsPainter:
    return KeypointsPainter(head().config)


def test_visible_keypoints_are_dots_and_others_that_are_guessed_are_rings() -> None:
    blank, black = Image.new("RGB", (64, 64)), (0, 0, 0)
    drawn = painter().target(blank.copy(), target([(10, 10), (40, 12), None]))
    colors = [drawn.getpixel(place) for place in ((10, 10), (40, 12))]
    assert black not in colors
    assert colors[0] != colors[1]
    found = prediction(CAT)
    found.visibility[0, 2] = 0.2
    guessed = painter().prediction(blank.copy(), found)
    assert guessed.getpixel((10, 10)) == colors[0]
    assert guessed.getpixel((25, 50)) == black
    ring = guessed.crop((21, 46, 30, 55))
    assert ring.getbbox() is not None
    unsure = painter().prediction(blank.copy(), prediction(CAT, score=0.1))
    assert unsure.tobytes() == blank.tobytes()


@settings(max_examples=50, deadline=None)
@given(st.data(), st.integers(1, 90), st.integers(1, 90))
def test_what_is_written_is_read_again_in_pixels_of_the_original(
    data: Any, width: int, height: int
) -> None:
    count = data.draw(st.integers(0, 4))

    def numbers(low: float, high: float, size: int) -> Tensor:
        values = st.lists(st.floats(low, high, width=32), min_size=size, max_size=size)
        return torch.tensor(data.draw(values))

    found = KeypointsPrediction(
        numbers(-20, 90, 6 * count).view(count, 3, 2),
        numbers(0, 1, 3 * count).view(count, 3),
        numbers(0, 1, count),
    )
    fit = letterboxing((width, height), (64, 64))
    wanted = (found.scores >= 0.3) & (found.visibility >= 0.5).any(1)
    inside = fit.placement.invert(found.points[wanted]).clamp(min=0)
    inside = inside.minimum(torch.tensor([float(width), float(height)]))
    seen = inside[found.visibility[wanted] >= 0.5]
    assume(not len(seen) or seen.max() > 1.1)  # else they are taken for shares of the image
    again = read_back(INFO, painter().written(found, (width, height), fit))
    assert isinstance(again, KeypointsTarget)
    assert again.visible.tolist() == (found.visibility[wanted] >= 0.5).tolist()
    torch.testing.assert_close(
        again.points, torch.where(again.visible[..., None], inside, 0.0), atol=0.02, rtol=0
    )
