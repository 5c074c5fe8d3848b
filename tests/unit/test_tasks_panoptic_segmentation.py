from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from examples.scenes.files import write_pages
from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.data.documents import Value
from sihl_trainer.data.letterbox import Letterboxing, Placement, letterboxing
from sihl_trainer.errors import BadData
from sihl_trainer.tasks.masks.crops import InstancesPrediction
from sihl_trainer.tasks.panoptic_segmentation.annotations import (
    FORMAT,
    PanopticAnnotations,
    PanopticInfo,
    read,
    read_info,
)
from sihl_trainer.tasks.panoptic_segmentation.head import PanopticSegmentation
from sihl_trainer.tasks.panoptic_segmentation.merge import merged
from sihl_trainer.tasks.panoptic_segmentation.metric import PanopticPrediction
from sihl_trainer.tasks.panoptic_segmentation.picture import PanopticPainter
from sihl_trainer.tasks.panoptic_segmentation.target import PanopticTarget
from sihl_trainer.tasks.picture import MapFile, Pictured, files
from sihl_trainer.tasks.rooms import format_of, head_of, painter_of
from tests.support.heads import measured, plain
from tests.support.masks import features
from tests.support.overfit import digits, overfitted

COLORS = {"sky": (0, 0, 255), "cat": (255, 0, 0), "dog": (0, 9, 0)}
SKY, CAT, DOG = COLORS.values()
BLACK = (0, 0, 0)


def info(*stuff: str) -> PanopticInfo:
    return PanopticInfo(Task.PANOPTIC_SEGMENTATION, tuple(COLORS), tuple(COLORS.items()), stuff)


# --- format ----------------------------------------------------------------------------------


def opened(folder: Path, *stuff: str) -> PanopticAnnotations:
    return read(folder, info(*stuff)).beside(["a.jpg", "b.jpg"])


def colored(rows: list[list[tuple[int, int, int]]]) -> np.ndarray:
    return np.array(rows, np.uint8)


CATEGORIES = colored([[SKY, SKY, CAT, CAT], [BLACK, DOG, CAT, SKY]])
IDS = np.array([[0, 7, 0, 0], [9, 200, 3, 0]])


@pytest.mark.parametrize(
    ("kind", "channels_first"),
    [(np.uint8, False), (np.uint16, False), (np.int32, False), (np.uint8, True), (np.uint16, True)],
)
def test_a_segment_is_a_category_with_an_id_of_whatever_bits(
    tmp_path: Path, kind: type[Any], channels_first: bool
) -> None:
    write_pages(tmp_path / "maps/a.tiff", [CATEGORIES, IDS.astype(kind)], channels_first)
    target = opened(tmp_path / "maps").target("a.jpg")
    assert target is not None
    # Two skies; the cat of id 0 is not that of id 3, and not the sky of id 0.
    assert target.segments.tolist() == [[1, 2, 3, 3], [0, 5, 4, 1]]
    assert target.categories.tolist() == [0, 0, 1, 1, 2]


def test_stuff_is_one_segment_whatever_its_ids(tmp_path: Path) -> None:
    write_pages(tmp_path / "maps/a.tiff", [CATEGORIES, IDS.astype(np.uint8)])
    target = opened(tmp_path / "maps", "sky").target("a.jpg")
    assert target is not None
    assert target.segments.tolist() == [[1, 1, 2, 2], [0, 4, 3, 1]]
    assert target.categories.tolist() == [0, 1, 1, 2]


def test_colors_may_be_three_grey_pages_of_an_array_with_channels_first(tmp_path: Path) -> None:
    grey = [np.ascontiguousarray(CATEGORIES[..., channel]) for channel in range(3)]
    write_pages(tmp_path / "maps/a.tiff", [*grey, IDS.astype(np.uint16)])
    target = opened(tmp_path / "maps").target("a.jpg")
    assert target is not None
    assert target.categories.tolist() == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("count", [255, 256])
def test_more_segments_than_a_byte_counts_keep_their_numbers(tmp_path: Path, count: int) -> None:
    ids = np.arange(count, dtype=np.uint16)[None]
    write_pages(tmp_path / "maps/a.tiff", [np.full((1, count, 3), CAT, np.uint8), ids])
    target = opened(tmp_path / "maps").target("a.jpg")
    assert target is not None
    assert target.segments.dtype == (torch.uint8 if count < 256 else torch.int16)
    assert target.segments[0].tolist() == list(range(1, count + 1))


def test_an_image_of_which_all_is_ignored_has_no_segment(tmp_path: Path) -> None:
    write_pages(tmp_path / "maps/a.tiff", [0 * CATEGORIES, IDS.astype(np.uint8)])
    target = opened(tmp_path / "maps").target("a.jpg")
    assert target is not None
    assert not target.segments.any()
    assert target.categories.tolist() == []


GREY = IDS.astype(np.uint8)


@pytest.mark.parametrize(
    ("pages", "says"),
    [
        ([CATEGORIES], "has no page of ids: save one page of the categories' colours and one"),
        ([CATEGORIES, GREY, GREY], "has 3 pages: save one page of"),
        ([GREY, GREY], "has no page of colours, but 2 grey ones: save one page of"),
        ([CATEGORIES, CATEGORIES], "page 2 has mode RGB, and ids are grey, one number a pixel: sa"),
        ([CATEGORIES, GREY[:1]], "page 2 is 4 pixels wide and 1 high, page 1 4 and 2: save all"),
        ([CATEGORIES + 1, GREY], "has colour [1, 1, 0] at x 0, y 0, which is no category's: corr"),
        ([CATEGORIES, GREY.astype(np.float32)], "page 2 has mode F, and ids are grey"),
        ([CATEGORIES[:, :1], GREY[:, :1]], "is 1 pixels wide and 2 high, its image 8 and 4: mak"),
    ],
)
def test_files_that_are_no_segments_are_refused_with_a_remedy(
    tmp_path: Path, pages: list[np.ndarray], says: str
) -> None:
    write_pages(tmp_path / "maps/a.tiff", pages)
    fault = opened(tmp_path / "maps").fault("a.jpg", 8, 4)
    assert fault is not None
    assert fault.startswith("maps/a.tiff " + says)
    if "its image" not in says:
        with pytest.raises(BadData):
            opened(tmp_path / "maps").target("a.jpg")


@pytest.mark.parametrize(
    ("stuff", "says"),
    [
        ("sky", "`stuff` must list categories that cannot be counted"),
        (["sea"], "`stuff` has an unknown category 'sea'; the metadata lists sky"),
        (["sky", "sky"], "`stuff` has 'sky' twice"),
    ],
)
def test_stuff_that_is_no_list_of_categories_is_refused(stuff: Value, says: str) -> None:
    fields: dict[str, Value] = {
        "categories": ["sky"], "colors": {"sky": ["1", "2", "3"]}, "stuff": stuff
    }  # fmt: skip
    with pytest.raises(BadData) as caught:
        read_info(fields, "metadata.yaml")
    assert says in str(caught.value)


def test_what_is_stuff_in_training_is_stuff_in_validation() -> None:
    assert info("cat").as_trained(info("sky")).stuff == ("sky",)


def test_the_room_is_found() -> None:
    assert format_of(Task.PANOPTIC_SEGMENTATION) is FORMAT
    assert head_of(Task.PANOPTIC_SEGMENTATION) is PanopticSegmentation
    assert painter_of(Task.PANOPTIC_SEGMENTATION) is PanopticPainter


# --- from objects and categories to segments -------------------------------------------------


def objects(*found: tuple[list[int], int, float]) -> InstancesPrediction:
    """Rectangles: their box, category and score."""
    boxes = torch.tensor([box for box, _, _ in found], dtype=torch.int32).reshape(-1, 4)
    masks = [
        torch.ones(bottom - top, right - left, dtype=torch.bool)
        for left, top, right, bottom in boxes.tolist()
    ]
    categories = torch.tensor([category for _, category, _ in found], dtype=torch.int64)
    return InstancesPrediction(boxes, masks, categories, torch.tensor([s for _, _, s in found]))


def labels(value: int) -> Tensor:
    return torch.full((10, 10), value, dtype=torch.uint8)


def test_objects_are_painted_surest_first_and_stuff_on_what_they_leave() -> None:
    found = merged(
        objects(
            ([0, 0, 5, 5], 1, 0.9),
            ([0, 0, 5, 8], 2, 0.8),  # more than half of it is taken
            ([3, 0, 8, 5], 1, 0.7),  # less is
            ([8, 8, 9, 9], 1, 0.2),  # not sure
        ),
        labels(1),
        {0},
    )
    assert found.categories.tolist() == [1, 1, 0]
    assert found.scores.tolist() == pytest.approx([0.9, 0.7, 1])
    assert (found.segments[:5, :5] == 1).all()
    assert (found.segments[:5, 5:8] == 2).all()
    assert int((found.segments == 3).sum()) == 100 - 40


def test_pixels_that_look_like_things_but_are_no_object_stay_empty() -> None:
    found = merged(objects(), labels(2), {0})
    assert not found.segments.any()
    assert found.categories.tolist() == []


def test_a_speck_of_stuff_is_a_mistake() -> None:
    specks = torch.full((100, 100), 1, dtype=torch.uint8)
    specks[0, :10] = 2
    found = merged(objects(), specks, {0, 1})
    assert found.categories.tolist() == [0]
    assert int((found.segments == 0).sum()) == 10


# --- head ------------------------------------------------------------------------------------


def head(levels: tuple[int, int] = (2, 4), stuff: tuple[str, ...] = ("sky",)) -> Any:
    torch.manual_seed(0)
    config = HeadConfig(
        name="p", task="PanopticSegmentation", levels=list(levels),
        settings=PanopticSegmentation.settings(info(*stuff)),
    )  # fmt: skip
    return PanopticSegmentation(config, dict.fromkeys(range(levels[0], levels[1] + 1), 16))


def shown(count: int = 3, size: tuple[int, int] = (64, 64)) -> PanopticTarget:
    """Rectangles of cats and dogs before a sky, and a corner that is ignored."""
    rng = np.random.default_rng(count)
    segments = np.ones(size[::-1], np.int16)
    for number in range(2, count + 2):
        left, top = rng.integers(0, size[0] - 3), rng.integers(0, size[1] - 3)
        segments[top : top + rng.integers(1, 20), left : left + rng.integers(1, 20)] = number
    segments[:5, :5] = 0
    categories = torch.tensor([0, *(1 + n % 2 for n in range(count))])
    return PanopticTarget(torch.from_numpy(segments), categories, size)


IGNORED = PanopticTarget(torch.zeros(64, 64, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))


@pytest.mark.parametrize("stuff", [(), ("sky",), ("sky", "cat", "dog")])
@pytest.mark.parametrize("levels", [(2, 4), (3, 3), (4, 6)])
def test_losses_are_of_the_order_of_one_at_first_and_reach_all_weights(
    levels: tuple[int, int], stuff: tuple[str, ...]
) -> None:
    segmenter = head(levels, stuff)
    batch = plain(features(levels, (64, 64), 4))
    losses = {
        k: v.mean for k, v in segmenter.loss(batch, [shown(), shown(300), IGNORED, None]).items()
    }
    assert ("mask" in losses) == (len(stuff) < 3)
    assert 0.1 < sum(loss.item() for loss in losses.values()) < 10
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in segmenter.parameters())


@pytest.mark.parametrize("targets", [[None, None], [IGNORED, None]])
def test_where_nothing_is_known_losses_are_zeros_on_all_weights(
    targets: list[PanopticTarget | None],
) -> None:
    segmenter = head()
    losses = segmenter.loss(plain(features((2, 4), (64, 64))), targets)
    for name, loss in losses.items():
        assert float(loss.amount) == 0, name
        assert float(loss.total) == 0 or name == "classification"  # of background
    torch.stack([loss.total for loss in losses.values()]).sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in segmenter.parameters())


@pytest.mark.parametrize("levels", [(2, 4), (3, 3)])
@pytest.mark.parametrize("stuff", [(), ("sky",), ("sky", "cat", "dog")])
@pytest.mark.parametrize("bias", [-9.0, 3.0])
def test_what_is_found_can_be_measured_drawn_and_written(
    levels: tuple[int, int], stuff: tuple[str, ...], bias: float
) -> None:
    segmenter = head(levels, stuff)
    if segmenter.instances is not None:
        torch.nn.init.constant_(segmenter.instances.detection.score.bias, bias)
    size = (96, 64)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = segmenter.examine(plain(features(levels, size)))
    for each in found:
        assert each.segments.shape == (64, 96)
        assert each.segments.dtype == torch.int16
        there = set(each.segments.unique().tolist()) - {0}
        assert there == set(range(1, len(each.categories) + 1))
        assert len(each.scores) == len(each.categories)
    targets = [shown(3, size), PanopticTarget(torch.zeros(64, 96).byte(), torch.tensor([]).long())]
    assert measured(segmenter, found, targets).keys() == {"pq", "sq", "rq"}
    blank = torch.zeros(3, size[1], size[0], dtype=torch.uint8)
    fit = Letterboxing(size, Placement(), size)
    pictured = [
        Pictured(f"{row}.jpg", blank, size, fit, target, each)
        for row, (target, each) in enumerate(zip(targets, found, strict=True))
    ]
    made = files(PanopticPainter(segmenter.config), pictured)
    assert sorted(made) == ["0.jpg.map.tiff", "0.jpg.png", "1.jpg.map.tiff", "1.jpg.png"]
    assert Image.open(io.BytesIO(made["0.jpg.png"])).size == (3 * 96 + 8, 64)


def predicted(target: PanopticTarget) -> PanopticPrediction:
    """What a head that finds exactly this would say."""
    return PanopticPrediction(
        target.segments.to(torch.int16), target.categories, torch.ones(len(target.categories))
    )


def test_exact_segments_are_a_quality_of_one_and_none_are_one_of_zero() -> None:
    target = shown()
    assert set(measured(head(), [predicted(target)], [target]).values()) == {1.0}
    assert set(measured(head(), [predicted(IGNORED)], [target]).values()) == {0.0}


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(4, 40), st.integers(4, 40)),
    canvas=st.tuples(st.integers(4, 60), st.integers(4, 60)),
    count=st.integers(0, 5),
)
def test_what_is_written_is_read_as_what_was_found_at_the_originals_size(
    tmp_path_factory: pytest.TempPathFactory,
    size: tuple[int, int],
    canvas: tuple[int, int],
    count: int,
) -> None:
    original = shown(count, size)
    fit = letterboxing(size, canvas)
    made = PanopticPainter(head().config).written(predicted(original.placed(fit)), size, fit)
    assert isinstance(made, MapFile)
    folder = tmp_path_factory.mktemp("maps")
    (folder / f"a{made.suffix}").write_bytes(made.content)
    found = opened(folder, "sky")
    assert found.fault("a.jpg", *size) is None
    target = found.target("a.jpg")
    assert target is not None
    if min(c / s for c, s in zip(fit.size, size, strict=True)) >= 1:
        # Made no smaller, segments come back as they were, if by other numbers.
        assert set(measured(head(), [predicted(target)], [original]).values()) <= {0.0, 1.0}
        assert torch.equal(target.segments > 0, original.segments > 0)


@pytest.mark.slow
def test_the_head_learns_eight_images_by_heart(tmp_path: Path) -> None:
    # Segments by the pixel: of strokes three pixels wide every second pixel tells too little.
    known = digits("panoptic", tmp_path, Task.PANOPTIC_SEGMENTATION, size=48)
    found = overfitted(known.info, known.images, known.targets, steps=120, neck=(1, 3), channels=32)
    assert found["rq"] > 0.95
    assert found["pq"] > 0.9
