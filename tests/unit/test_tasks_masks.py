from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile
from PIL.TiffTags import TAGS_V2
from torch import Tensor
from torch.nn import functional as F

from sihl_trainer.errors import BadData
from sihl_trainer.tasks.dense.assignment import TOP_K, Assignment
from sihl_trainer.tasks.dense.sampling import MAX_SAMPLES, choose, sample
from sihl_trainer.tasks.instance_segmentation.target import InstancesTarget, instances
from sihl_trainer.tasks.masks.coverage import FULL, coverage
from sihl_trainer.tasks.masks.crops import cropped
from sihl_trainer.tasks.masks.drawing import border, drawn
from sihl_trainer.tasks.masks.dynamic import CHANNELS, REACH, WEIGHTS, dice, masks
from sihl_trainer.tasks.masks.pages import grey, is_grey, pages, written
from sihl_trainer.tasks.masks.segments import extents, objects_of
from tests.support.masks import full_masks, some_objects

# --- what masks are learnt from --------------------------------------------------------------


@settings(max_examples=60)
@given(
    count=st.integers(0, 5),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    stride=st.sampled_from([1, 2, 4, 16]),
    seed=st.integers(0, 1000),
)
def test_what_masks_cover_of_cells_is_as_if_whole_masks_were_averaged(
    count: int, size: tuple[int, int], stride: int, seed: int
) -> None:
    target = some_objects(count, size, seed)
    chosen = torch.randperm(count).tolist()[:3]
    cells = (-(-size[0] // stride), -(-size[1] // stride))
    found = coverage(target, chosen, stride, cells)
    padding = (0, cells[0] * stride - size[0], 0, cells[1] * stride - size[1])
    whole = F.pad(full_masks(target)[chosen].float(), padding)
    expected = F.avg_pool2d(whole, stride) if chosen else whole.reshape(0, cells[1], cells[0])
    assert found.dtype == torch.uint8
    torch.testing.assert_close(found.float() / FULL, expected, atol=0.5 / FULL + 1e-6, rtol=0)


def assigned(owners: list[list[int]], weights: list[list[float]]) -> Assignment:
    weight = torch.tensor(weights)
    batch, count = weight.shape
    blank = torch.zeros(batch, count, 1)
    return Assignment(blank, blank.expand(-1, -1, 4), weight, torch.tensor(owners))


@settings(max_examples=60)
@example(objects=2, points=45, seed=1)
@given(objects=st.integers(1, 90), points=st.integers(1, 200), seed=st.integers(0, 1000))
def test_no_object_is_sampled_twice_before_all_were_once(
    objects: int, points: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    owner = torch.randint(0, objects, (2, points), generator=generator)
    weight = torch.rand(2, points, generator=generator)
    weight[weight < 0.5] = 0
    for row in range(2):  # an assignment gives an object so many points at most
        for number in range(objects):
            rest = weight[row].where(owner[row] == number, 0).argsort(descending=True)[TOP_K:]
            weight[row, rest[owner[row, rest] == number]] = 0
    chosen = [choose(objects) for _ in range(2)]
    assert all(len(set(own)) == len(own) == min(objects, MAX_SAMPLES) for own in chosen)
    places = torch.full((2, objects), -1)
    for row, own in enumerate(chosen):
        places[row, own] = torch.arange(len(own))
    found = sample(assigned(owner.tolist(), weight.tolist()), places, len(chosen[0]))
    for row, own in enumerate(chosen):
        point, learnt = (each[row][found.real[row]] for each in (found.point, found.learnt))
        assert len(point) <= MAX_SAMPLES
        assert len(set(point.tolist())) == len(point)
        assert [own[place] for place in learnt] == owner[row, point].tolist()
        assert (weight[row, point] > 0).all()
        could = torch.bincount(owner[row][weight[row] > 0], minlength=objects)[own]
        taken = torch.bincount(learnt, minlength=len(own))
        # Whoever could have had another turn has had at most one less than anybody.
        assert (taken[taken < could] >= taken.max() - 1).all()
        for place in range(len(own)):
            best = weight[row][owner[row] == own[place]].sort(descending=True).values
            mine = weight[row, point[learnt == place]].sort(descending=True).values
            assert torch.equal(mine, best[: len(mine)])


def test_filters_see_each_cell_from_their_own_point() -> None:
    torch.manual_seed(0)
    filters, features = torch.randn(3, WEIGHTS), torch.randn(CHANNELS, 5, 7)
    points, strides = 40 * torch.rand(3, 2), torch.tensor([4.0, 8.0, 16.0])
    found = masks(filters, points, strides, features, 4)
    y, x = torch.meshgrid(torch.arange(5) * 4 + 2, torch.arange(7) * 4 + 2, indexing="ij")
    for row in range(3):
        seen = (torch.stack((x, y)) - points[row, :, None, None]) / (REACH * strides[row])
        value = torch.cat((seen, features))
        weights = filters[row]
        for inputs, outputs, rest in ((10, 8, 8), (8, 8, 8), (8, 1, 1)):
            layer, weights = weights[: inputs * outputs], weights[inputs * outputs :]
            bias, weights = weights[:rest], weights[rest:]
            value = torch.einsum("oi,ihw->ohw", layer.view(outputs, inputs), value)
            value = value + bias[:, None, None]
            value = value.relu() if outputs > 1 else value
        torch.testing.assert_close(found[row], value[0], rtol=1e-3, atol=1e-3)


def test_dice_is_0_for_the_mask_and_1_for_another_and_finite_for_none() -> None:
    mask = torch.zeros(4, 4)
    mask[1:3, 1:3] = 1
    sure = 100 * (2 * mask - 1)
    logits = torch.stack((sure, -sure, torch.full((4, 4), -100.0))).requires_grad_()
    found = dice(logits, torch.stack((mask, mask, 0 * mask)))
    assert found.tolist() == pytest.approx([0, 1, 1])
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


# --- what is found ---------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    boxes=st.lists(
        st.tuples(*[st.floats(0, 60, width=32)] * 2, *[st.floats(0, 40, width=32)] * 2), max_size=4
    ),
    stride=st.sampled_from([1, 2, 4]),
    seed=st.integers(0, 1000),
)
def test_masks_made_within_boxes_are_parts_of_masks_made_whole(
    boxes: list[tuple[float, float, float, float]], stride: int, seed: int
) -> None:
    size = (60, 44)
    sized = torch.tensor(boxes).reshape(-1, 4)
    corners = torch.cat((sized[:, :2], sized[:, :2] + sized[:, 2:]), 1)
    corners = corners.minimum(torch.tensor([*size, *size]).float())
    generator = torch.Generator().manual_seed(seed)
    cells = torch.rand(len(boxes), size[1] // stride, size[0] // stride, generator=generator)
    scores = torch.arange(len(boxes), 0, -1).float()
    found = cropped(cells, stride, size, (corners, torch.arange(len(boxes)), scores))
    assert sum(1 for _ in found.windows()) == len(found) <= len(boxes)
    for (window, mask), index in zip(found.windows(), found.categories.tolist(), strict=True):
        whole = F.interpolate(cells[None, index : index + 1], size[::-1], mode="bilinear")[0, 0]
        sure = (whole[window] - 0.5).abs() > 1e-4
        assert torch.equal(mask[sure], (whole[window] > 0.5)[sure])
        # Tight: its first and last rows and columns have some of it.
        assert mask[0].any() and mask[-1].any() and mask[:, 0].any() and mask[:, -1].any()


@settings(max_examples=60)
@given(
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    most=st.integers(0, 6),
    kind=st.sampled_from([torch.uint8, torch.int16]),
    seed=st.integers(0, 1000),
)
def test_segments_are_the_same_as_objects(
    size: tuple[int, int], most: int, kind: torch.dtype, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    segments = torch.randint(0, most + 1, size[::-1], generator=generator).to(kind)
    numbers = list(range(1, most + 1))
    target = objects_of(segments, numbers, torch.tensor(numbers, dtype=torch.int64), None)
    there = [number for number in numbers if (segments == number).any()]
    assert target.categories.tolist() == there
    for mask, number in zip(full_masks(target), there, strict=True):
        assert torch.equal(mask > 0, segments == number)


def test_the_box_of_a_segment_is_around_all_its_parts() -> None:
    segments = np.array([[0, 7, 0, 0], [0, 0, 0, 7], [300, 0, 0, 0]], np.int16)
    assert extents(segments) == {0: (0, 0, 4, 3), 7: (1, 0, 4, 2), 300: (0, 2, 1, 3)}


# --- pages -----------------------------------------------------------------------------------


def test_pages_are_read_as_they_were_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays: list[np.ndarray] = [
        rng.integers(0, 255, (5, 7, 3)).astype(np.uint8),
        rng.integers(0, 255, (5, 7)).astype(np.uint8),
        rng.integers(0, 60000, (5, 7)).astype(np.uint16),
    ]
    path = tmp_path / "a.tiff"
    path.write_bytes(written(arrays))
    for (number, page), array in zip(pages(path), arrays, strict=True):
        assert np.array_equal(np.asarray(page), array), number
        assert is_grey(page) == (array.ndim == 2)
        assert array.ndim == 3 or np.array_equal(grey(page), array)


@pytest.mark.parametrize("left_out", [20, 60, 200])
def test_a_file_that_breaks_off_is_refused_by_name_whichever_page_it_is(
    tmp_path: Path, left_out: int
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (2, 16, 16, 3)).astype(np.uint8)
    (tmp_path / "a.tif").write_bytes(written(noise)[:-left_out])
    with pytest.raises(BadData, match=r"a\.tif .*: replace the file"):
        [grey(page) for _, page in pages(tmp_path / "a.tif")]


@pytest.mark.parametrize("tag", ["ImageLength", "Compression", "StripOffsets", "StripByteCounts"])
def test_a_page_whose_directory_has_a_hole_is_no_black_page(tmp_path: Path, tag: str) -> None:
    masks = np.full((2, 5, 7, 3), 255, np.uint8)
    file = bytearray(written(masks))
    path = tmp_path / "a.tif"
    path.write_bytes(file)
    with Image.open(path) as image:
        image.seek(1)
        assert isinstance(image, TiffImageFile)
        number = next(each for each, info in TAGS_V2.items() if info.name == tag)
        at = file.rindex(
            struct.pack("<H", number) + struct.pack("<H", image.tag_v2.tagtype[number])
        )
    file[at : at + 12] = bytes(12)
    path.write_bytes(file)
    with pytest.raises(BadData, match=r"a\.tif is damaged: page 2 is not whole: replace the file"):
        [grey(page) for _, page in pages(path)]


def test_pages_of_different_sizes_are_refused_with_their_number(tmp_path: Path) -> None:
    path = tmp_path / "masks" / "a.tiff"
    path.parent.mkdir()
    path.write_bytes(written([np.zeros((5, 7), np.uint8), np.zeros((5, 8), np.uint8)]))
    with pytest.raises(BadData, match=r"masks/a\.tiff page 2 is 8 pixels wide and 5 high, page 1"):
        list(pages(path))


# --- pictures --------------------------------------------------------------------------------


def test_an_outline_is_what_of_a_mask_lies_at_its_edge() -> None:
    mask = np.ones((4, 5), bool)
    expected = mask.copy()
    expected[1:3, 1:4] = False
    assert np.array_equal(border(mask), expected)


def test_of_masks_that_overlap_the_first_is_drawn_on_top() -> None:
    def object_(left: int, right: int) -> tuple[Tensor, Tensor, str]:
        return torch.tensor([left, 30, right, 60]), torch.ones(30, right - left), "x"

    canvas = Image.new("RGB", (80, 64))
    both = drawn(canvas.copy(), [object_(10, 50), object_(30, 70)])
    first = drawn(canvas.copy(), [object_(10, 50)])
    assert both.getpixel((40, 55)) == first.getpixel((40, 55)) != (0, 0, 0)
    assert both.getpixel((60, 55)) not in ((0, 0, 0), both.getpixel((40, 55)))
    assert drawn(canvas.copy(), []).tobytes() == canvas.tobytes()


def test_objects_without_any_are_none() -> None:
    none = instances([], torch.zeros(0, dtype=torch.int64), (4, 4), None)
    assert isinstance(none, InstancesTarget)
    assert coverage(none, [], 2, (2, 2)).shape == (0, 2, 2)
