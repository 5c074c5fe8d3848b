from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_trainer.data.letterbox import Letterboxing, Placement, letterboxing
from sihl_trainer.errors import BadData
from sihl_trainer.tasks.instance_segmentation.annotations import FORMAT, MaskAnnotations, read
from sihl_trainer.tasks.instance_segmentation.head import InstanceSegmentation
from sihl_trainer.tasks.instance_segmentation.picture import MasksPainter
from sihl_trainer.tasks.instance_segmentation.target import InstancesTarget, instances
from sihl_trainer.tasks.maps.palette import ColorInfo
from sihl_trainer.tasks.maps.placement import placed
from sihl_trainer.tasks.masks.crops import InstancesPrediction
from sihl_trainer.tasks.picture import MapFile, Pictured, files
from sihl_trainer.tasks.rooms import format_of, head_of, painter_of
from tests.support.heads import measured, plain, view
from tests.support.masks import features, full_masks, some_objects
from tests.support.overfit import digits, overfitted

COLORS = {"cat": (255, 0, 0), "dog": (0, 9, 0)}
INFO = ColorInfo(Task.INSTANCE_SEGMENTATION, ("cat", "dog", "bird"), tuple(COLORS.items()))
SETTINGS = InstanceSegmentation.settings(INFO)
sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


# --- format ----------------------------------------------------------------------------------


def tiff(path: Path, pages: list[Image.Image], **options: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    pages[0].save(path, save_all=True, append_images=pages[1:], **options)
    return path


def page(color: tuple[int, int, int] | None = None, size: tuple[int, int] = (6, 4)) -> Image.Image:
    """Black, or with two pixels of a colour."""
    image = Image.new("RGB", size)
    for at in (2, 1), (3, 2):
        image.putpixel(at, color or (0, 0, 0))
    return image


def opened(folder: Path) -> MaskAnnotations:
    return read(folder, INFO).beside(["a.jpg", "b.jpg"])


@pytest.mark.parametrize(
    ("mode", "compression"),
    [
        ("RGB", None),
        ("RGB", "tiff_lzw"),
        ("RGB", "tiff_deflate"),
        ("RGBA", "packbits"),
        ("P", None),
    ],
)
def test_a_page_is_an_object_and_a_black_one_none(
    tmp_path: Path, mode: str, compression: str | None
) -> None:
    drawn = [page(COLORS["dog"]), page(), page(COLORS["cat"])]
    options = {"compression": compression} if compression else {}
    pages = [each.convert(mode, palette=Image.Palette.ADAPTIVE) for each in drawn]
    tiff(tmp_path / "masks/a.tiff", pages, **options)
    found = opened(tmp_path / "masks")
    assert list(found.names) == ["a.jpg"]
    assert found.target("b.jpg") is None
    target = found.target("a.jpg")
    assert target is not None
    assert target.categories.tolist() == [1, 0]
    assert target.boxes.tolist() == [[2, 1, 4, 3]] * 2
    assert [mask.tolist() for mask in target.masks()] == [[[1, 0], [0, 1]]] * 2
    assert target.map_size == (6, 4)
    assert found.fault("a.jpg", 12, 8) is None


def test_an_image_without_objects_is_one_black_page(tmp_path: Path) -> None:
    tiff(tmp_path / "masks/a.tif", [page()])
    target = opened(tmp_path / "masks").target("a.jpg")
    assert target is not None
    assert target.boxes.shape == (0, 4)
    assert target.map_size == (6, 4)


def two_colors() -> Image.Image:
    image = page(COLORS["cat"])
    image.putpixel((2, 2), COLORS["dog"])
    return image


@pytest.mark.parametrize(
    ("pages", "says"),
    [
        ([page(), two_colors()], r"page 2 has two colours, \[255, 0, 0\] and \[0, 9, 0\]: a page"),
        ([page((1, 2, 3))], r"page 1 has colour \[1, 2, 3\], which is no category's: .*`colors`"),
        ([page(), page(size=(6, 5))], r"page 2 is 6 pixels wide and 5 high, page 1 6 and 4: save"),
        ([Image.fromarray(np.full((4, 6), 500, np.uint16))], "has 16 bits a channel: save it as"),
        ([page(size=(6, 6))], r"is 6 pixels wide and 6 high, its image 12 and 8: make the map"),
    ],
)
def test_files_that_are_no_masks_are_refused_by_page(
    tmp_path: Path, pages: list[Image.Image], says: str
) -> None:
    tiff(tmp_path / "masks/a.tiff", pages)
    found = opened(tmp_path / "masks")
    fault = found.fault("a.jpg", 12, 8)
    assert fault is not None
    assert fault.startswith("masks/a.tiff ")
    with pytest.raises(AssertionError, match="fault: masks/a.tiff .*" + says):
        raise AssertionError("fault: " + fault)
    if "its image" not in says:
        with pytest.raises(BadData, match=says):
            found.target("a.jpg")


def test_the_room_is_found() -> None:
    assert format_of(Task.INSTANCE_SEGMENTATION) is FORMAT
    assert head_of(Task.INSTANCE_SEGMENTATION) is InstanceSegmentation
    assert painter_of(Task.INSTANCE_SEGMENTATION) is MasksPainter


# --- target ----------------------------------------------------------------------------------


def assert_tight(target: InstancesTarget) -> None:
    assert len(target.crops) == sum(mask.numel() for mask in target.masks())
    for mask in target.masks():
        assert mask[0].any() and mask[-1].any() and mask[:, 0].any() and mask[:, -1].any()


@settings(max_examples=80)
@given(
    count=st.integers(0, 4),
    size=sizes,
    canvas=sizes,
    shrink=st.floats(0.1, 1),
    position=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    seed=st.integers(0, 1000),
)
def test_masks_follow_their_image_as_maps_do_and_none_vanishes(
    count: int,
    size: tuple[int, int],
    canvas: tuple[int, int],
    shrink: float,
    position: tuple[float, float],
    seed: int,
) -> None:
    target = some_objects(count, size, seed)
    fit = letterboxing(size, canvas, shrink=shrink, position=position)
    found = target.placed(fit)
    assert_tight(found)
    assert found.map_size == found.size == canvas
    for mask, whole in zip(full_masks(found), full_masks(target), strict=True):
        expected = placed(whole, fit)
        if expected.any():
            assert torch.equal(mask, expected)
        else:  # it keeps a pixel within the image
            assert mask.sum() == 1
            assert placed(torch.ones_like(whole), fit)[mask > 0].all()


@given(count=st.integers(0, 4), size=sizes, seed=st.integers(0, 1000))
def test_mirroring_is_that_of_the_map_and_twice_changes_nothing(
    count: int, size: tuple[int, int], seed: int
) -> None:
    target = some_objects(count, size, seed)
    once = target.mirrored(size[0])
    assert_tight(once)
    assert torch.equal(full_masks(once), full_masks(target).flip(2))
    twice = once.mirrored(size[0])
    for field in ("boxes", "crops", "categories"):
        assert torch.equal(getattr(twice, field), getattr(target, field))


# --- head ------------------------------------------------------------------------------------


def head(levels: tuple[int, int] = (2, 4)) -> InstanceSegmentation:
    torch.manual_seed(0)
    config = HeadConfig(
        name="m", task="InstanceSegmentation", levels=list(levels), settings=SETTINGS
    )
    return InstanceSegmentation(config, dict.fromkeys(range(levels[0], levels[1] + 1), 16))


def one_pixel(at: tuple[int, int]) -> InstancesTarget:
    crop = torch.ones(1, 1, dtype=torch.uint8), *at
    return instances([crop], torch.tensor([1]), (64, 64), (64, 64))


def at_the_border() -> InstancesTarget:
    crops = [(torch.ones(64, 3, dtype=torch.uint8), 0, 0), (torch.ones(2, 64), 0, 62)]
    return instances(crops, torch.tensor([0, 1]), (64, 64), (64, 64))


@pytest.mark.parametrize("levels", [(2, 4), (3, 3), (1, 2)])
@pytest.mark.parametrize(
    ("size", "target"),
    [
        ((64, 64), some_objects(3, (64, 64))),
        ((64, 64), one_pixel((63, 63))),
        ((64, 64), at_the_border()),
        ((640, 32), some_objects(4, (640, 32))),
        ((64, 64), some_objects(300, (64, 64))),
    ],
    ids=["some", "pixel", "border", "line", "crowd"],
)
def test_losses_are_of_the_order_of_one_at_first_whatever_is_shown(
    levels: tuple[int, int], size: tuple[int, int], target: InstancesTarget
) -> None:
    segmenter = head(levels)
    shown = plain(features(levels, size))
    losses = {k: v.mean for k, v in segmenter.loss(shown, [target, None]).items()}
    assert losses.keys() == {"classification", "box", "mask"}
    assert 0.1 < losses["mask"].item() <= 1
    assert 0.1 < sum(loss.item() for loss in losses.values()) < 10
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in segmenter.parameters())


@pytest.mark.parametrize("targets", [[None, None], [some_objects(0, (64, 64)), None]])
def test_without_objects_masks_learn_nothing_by_zeros_on_all_weights(
    targets: list[InstancesTarget | None],
) -> None:
    segmenter = head()
    losses = segmenter.loss(plain(features((2, 4), (64, 64))), targets)
    assert float(losses["mask"].total) == float(losses["mask"].amount) == 0
    torch.stack([loss.total for loss in losses.values()]).sum().backward()  # type: ignore[no-untyped-call]
    unlearnt = [p.grad for name, p in segmenter.named_parameters() if ".masks." in name]
    assert all(gradient is not None and not gradient.any() for gradient in unlearnt)
    assert all(p.grad is not None for p in segmenter.parameters())


def test_images_that_are_not_annotated_change_no_loss() -> None:
    segmenter, target = head(), some_objects(3, (64, 64))
    both = features((2, 4), (64, 64))
    second = {level: value[1:] for level, value in both.items()}
    alone = segmenter.loss(plain(second), [target])
    beside = segmenter.loss(plain(both), [None, target])
    for name, loss in alone.items():
        torch.testing.assert_close(loss.mean, beside[name].mean)


def test_losses_in_bfloat16_are_near_those_in_full() -> None:
    segmenter, target = head(), some_objects(3, (64, 64))
    shown = plain(features((2, 4), (64, 64)))
    full = segmenter.loss(shown, [target, target])
    with torch.autocast("cpu", torch.bfloat16):
        half = segmenter.loss(shown, [target, target])
    for name, loss in full.items():
        assert half[name].total.dtype == torch.float32
        torch.testing.assert_close(loss.mean, half[name].mean, rtol=0.1, atol=0.05)


@pytest.mark.parametrize("levels", [(2, 4), (3, 3)])
@pytest.mark.parametrize("bias", [-9.0, 3.0])
def test_what_is_found_can_be_measured_drawn_and_written(
    levels: tuple[int, int], bias: float
) -> None:
    segmenter = head(levels)
    score = segmenter.instances.detection.score
    assert score.bias is not None
    torch.nn.init.constant_(score.bias, bias)
    size = (96, 64)
    with torch.inference_mode():
        found = segmenter.examine(plain(features(levels, size)))
    assert len(found) == 2
    for each in found:
        assert len(each) <= 100
        assert (len(each) > 0) == (bias > 0)
        assert each.scores.tolist() == sorted(each.scores.tolist(), reverse=True)
        assert all(mask.dtype == torch.bool and mask.any() for mask in each.masks)
    targets = [some_objects(3, size), some_objects(0, size)]
    results = measured(segmenter, found, targets)
    assert results.keys() == {"map", "map50", "map75", "mar100"}
    blank = torch.zeros(3, size[1], size[0], dtype=torch.uint8)
    fit = Letterboxing(size, Placement(), size)
    shown = [
        Pictured(f"{row}.jpg", blank, size, fit, target, each)
        for row, (target, each) in enumerate(zip(targets, found, strict=True))
    ]
    made = files(MasksPainter(segmenter.config), shown)
    assert sorted(made) == ["0.jpg.map.tiff", "0.jpg.png", "1.jpg.map.tiff", "1.jpg.png"]
    assert Image.open(io.BytesIO(made["0.jpg.png"])).size == (3 * 96 + 8, 64)


def predicted(target: InstancesTarget) -> InstancesPrediction:
    """What a head that finds exactly this would say."""
    masks = [mask.bool() for mask in target.masks()]
    scores = torch.linspace(1, 0.5, len(masks))
    return InstancesPrediction(target.boxes, masks, target.categories, scores)


def test_exact_masks_are_a_precision_of_one_and_halves_of_them_less() -> None:
    target = some_objects(4, (64, 64))
    assert set(measured(head(), [predicted(target)], [target]).values()) == {1.0}
    halves = predicted(target)
    for mask in halves.masks:
        mask[: len(mask) // 2 + 1] = False
    assert measured(head(), [halves], [target])["map"] < 0.3


@settings(max_examples=40, deadline=None)
@given(count=st.integers(0, 4), size=sizes, canvas=sizes, seed=st.integers(0, 1000))
def test_what_is_written_is_read_as_what_was_found_at_the_originals_size(
    tmp_path_factory: pytest.TempPathFactory,
    count: int,
    size: tuple[int, int],
    canvas: tuple[int, int],
    seed: int,
) -> None:
    original = some_objects(count, size, seed)
    fit = letterboxing(size, canvas)
    painter = MasksPainter(head().config)
    made = painter.written(predicted(original.placed(fit)), size, fit)
    assert isinstance(made, MapFile)
    folder = tmp_path_factory.mktemp("masks")
    (folder / f"a{made.suffix}").write_bytes(made.content)
    found = opened(folder)
    assert found.fault("a.jpg", *size) is None
    target = found.target("a.jpg")
    assert target is not None
    assert target.map_size == size
    if min(c / s for c, s in zip(fit.size, size, strict=True)) >= 1:
        # Made no smaller, masks come back as they were.
        assert torch.equal(full_masks(target), full_masks(original))
        assert torch.equal(target.categories, original.categories)


@pytest.mark.slow
def test_the_head_learns_eight_images_by_heart(tmp_path: Path) -> None:
    # Masks by the pixel: of every second one the truth itself comes to no more than 0.86.
    shown = digits("instance", tmp_path, Task.INSTANCE_SEGMENTATION, size=48)
    found = overfitted(shown.info, shown.images, shown.targets, steps=120, neck=(1, 3), channels=32)
    assert found["map50"] > 0.95
    assert found["map"] > 0.9


def test_a_plain_view_is_all_that_it_takes() -> None:
    assert len(head().predict(view(features((2, 4), (64, 64))))) == 2
