"""Annotations that are a folder of maps: their files, their colours, and how they follow images."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sihl_trainer.data.documents import Value
from sihl_trainer.data.letterbox import letterboxing
from sihl_trainer.errors import BadData
from sihl_trainer.tasks.depth_estimation.target import DepthTarget
from sihl_trainer.tasks.maps.files import MapFolder, fault_in_aspect, map_folder
from sihl_trainer.tasks.maps.palette import Palette, colored, read_palette
from sihl_trainer.tasks.maps.placement import placed, restored
from tests.support.datasets import encoded, write

COLORS = {"cat": (255, 0, 0), "dog": (90, 90, 90)}
PALETTE = Palette(["cat", "cow", "dog"], COLORS)


def folder(tmp_path: Path, *names: str) -> Path:
    return write(tmp_path, {f"masks/{name}": b"" for name in names}) / "masks"


def png(tmp_path: Path, image: Image.Image, name: str = "masks/a.png", kind: str = "PNG") -> Path:
    return write(tmp_path, {name: encoded(image, kind)}) / name


# --- files -----------------------------------------------------------------------------------


def test_a_map_annotates_the_image_of_its_stem(tmp_path: Path) -> None:
    path = folder(tmp_path, "a.b.png", "C.PNG", "readme.txt")
    found = map_folder(path, [".png"]).beside(["a.b.jpg", "c.jpg", "C.tiff"])
    assert found.names == ["a.b.jpg", "C.tiff"]
    assert found.file("C.tiff") == path / "C.PNG"
    assert found.file("c.jpg") is None


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a.png", "a.PNG"], "masks/a.PNG and masks/a.png annotate the same image: keep one"),
        (["a.jpg"], "masks/a.jpg: this task's annotations are .png files: save it as one, or"),
        (["readme.txt"], "masks/ has no .png file: add one"),
        ([], "masks is missing, but this task's annotations are a folder"),
    ],
)
def test_a_folder_at_odds_with_the_format_is_refused_by_file(
    tmp_path: Path, names: Sequence[str], says: str
) -> None:
    with pytest.raises(BadData) as caught:
        map_folder(folder(tmp_path, *names), [".png"])
    assert says in str(caught.value)


def test_a_file_where_a_folder_should_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"masks is a file, .*: add it, or correct `annotations`"):
        map_folder(write(tmp_path, {"masks": b""}) / "masks", [".png"])


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (["a.jpg", "a.png"], "masks/a.png could annotate 'a.jpg' or 'a.png': rename one"),
        ([], "masks/a.png annotates no image: none in images/ has the stem 'a'; add"),
        (["A.jpg", "b.jpg"], "has the stem 'a'; did you mean 'A'? Call it A.png"),
    ],
)
def test_a_map_that_is_of_no_single_image_is_refused(images: list[str], says: str) -> None:
    with pytest.raises(BadData) as caught:
        MapFolder(Path("masks"), {"a": "a.png"}).beside(images)
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["a_mask", "a.jpg", "a-labelIds", "a (1)"])
def test_a_map_that_is_called_more_than_its_image_is_told_what_to_call_it(name: str) -> None:
    with pytest.raises(BadData, match=r"did you mean 'a'\? Call it a\.png"):
        MapFolder(Path("masks"), {name: f"{name}.png"}).beside(["a.jpg", "b.jpg"])


@pytest.mark.parametrize("name", ["b.npy", "b.bmp", "b.json"])
def test_a_file_of_another_kind_that_has_an_images_stem_is_not_passed_over(
    tmp_path: Path, name: str
) -> None:
    found = map_folder(folder(tmp_path, "a.png", name), [".png"])
    with pytest.raises(BadData, match=f"masks/{name}: this task's annotations are .png files"):
        found.beside(["a.jpg", "b.jpg"])
    assert map_folder(folder(tmp_path, "b.png"), [".png"]).beside(["a.jpg", "b.jpg"]).names


@given(
    image=st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    factor=st.floats(0.01, 2),
    rounds=st.sampled_from([round, int, lambda value: int(value) + 1]),
)
def test_a_map_of_another_size_is_taken_however_it_was_rounded(
    image: tuple[int, int], factor: float, rounds: type[int]
) -> None:
    own = (max(1, rounds(image[0] * factor)), max(1, rounds(image[1] * factor)))
    assert (
        image[0] * factor < 1
        or image[1] * factor < 1
        or (fault_in_aspect(Path("masks/a.png"), own, image) is None)
    )


@pytest.mark.parametrize("own", [(200, 300), (300, 300), (301, 204), (150, 102), (15, 12)])
def test_a_map_of_another_aspect_ratio_than_its_image_is_refused(own: tuple[int, int]) -> None:
    text = fault_in_aspect(Path("masks/a.png"), own, (300, 200))
    assert text is not None
    assert f"masks/a.png is {own[0]} pixels wide and {own[1]} high, its image 300 and 200" in text


# --- colours ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("colors", "says"),
    [
        (None, "`colors` must map categories to their colours in maps: colors: {cat"),
        ({}, "`colors` must map"),
        (["1"], "`colors` must map"),
        ({"cat": None}, "`colors` gives no category a colour"),
        ({"bird": ["1", "2", "3"]}, "`colors` has an unknown category 'bird'; the metadata lists"),
        ({"cat": ["1", "2"]}, "`colors` of 'cat' must be three whole numbers from 0 to 255"),
        ({"cat": ["1", "2", "256"]}, "must be three whole"),
        ({"cat": ["1", "2", "0.5"]}, "must be three whole"),
        ({"cat": ["1", "2", "-1"]}, "must be three whole"),
        ({"cat": "red"}, "must be three whole"),
        ({"cat": ["0", "0", "0"]}, "`colors` gives 'cat' black, which pixels to ignore have"),
        (
            {"cat": ["1", "2", "3"], "dog": ["1", "2", "3"]},
            "gives 'cat' and 'dog' the same, [1, 2, 3]: choose another",
        ),
    ],
)
def test_colors_at_odds_with_the_schema_are_refused_by_category(colors: Value, says: str) -> None:
    with pytest.raises(BadData) as caught:
        read_palette({"categories": ["cat", "dog"], "colors": colors}, "metadata.yaml")
    assert str(caught.value).startswith("metadata.yaml: ")
    assert says in str(caught.value)


def test_a_category_may_have_no_color() -> None:
    colors: Value = {"dog": ["1", "2", "3"], "cat": None}
    categories, found = read_palette({"categories": ["cat", "dog"], "colors": colors}, "m")
    assert categories == ("cat", "dog")
    assert found == (("dog", (1, 2, 3)),)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "1"])
def test_a_color_is_the_same_however_the_file_keeps_it(tmp_path: Path, mode: str) -> None:
    palette = Palette(["white", "grey"], {"white": (255, 255, 255), "grey": (90, 90, 90)})
    image = Image.new("L", (3, 2))
    image.putpixel((1, 0), 255)
    image.putpixel((2, 1), 0 if mode == "1" else 90)
    found = colored(png(tmp_path, image.convert(mode)), palette)
    assert found.dtype == np.uint8
    assert found.tolist() == [[0, 1, 0], [0, 0, 0 if mode == "1" else 2]]


@pytest.mark.parametrize("count", [255, 256, 300])
def test_any_number_of_categories_keep_their_indices(tmp_path: Path, count: int) -> None:
    names = [str(index) for index in range(count)]
    palette = Palette(names, {name: (7, int(name) // 256, int(name) % 256) for name in names})
    labels = np.arange(count + 1)[None]
    found = colored(png(tmp_path, Image.fromarray(palette.colors(labels))), palette)
    assert found.dtype == (np.uint8 if count < 256 else np.int16)
    assert found.tolist() == labels.tolist()


def test_a_color_that_no_category_has_is_told_with_its_first_pixel(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 3), COLORS["cat"])
    image.putpixel((2, 1), (255, 0, 1))
    image.putpixel((3, 2), (9, 9, 9))
    with pytest.raises(
        BadData, match=r"masks/a\.png has colour \[255, 0, 1\] at x 2, y 1, which .* `colors`"
    ):
        colored(png(tmp_path, image), PALETTE)


def test_a_map_of_category_numbers_is_told_as_that() -> None:
    numbers = np.arange(4, dtype=np.uint8).reshape(2, 2, 1).repeat(3, 2)
    with pytest.raises(BadData, match=r"\[1, 1, 1\] at x 1, y 0, .* as maps of category numbers"):
        PALETTE.labels(numbers, Path("maps/a.png"))
    numbers[1, 1] = COLORS["cat"]
    with pytest.raises(BadData, match="smooth edges"):
        PALETTE.labels(numbers, Path("maps/a.png"))


def test_files_that_are_no_color_maps_are_refused(tmp_path: Path) -> None:
    wide = Image.fromarray(np.full((2, 2), 500, np.uint16))
    with pytest.raises(BadData, match=r"masks/a\.png has 16 bits a channel: save it as RGB"):
        colored(png(tmp_path, wide), PALETTE)
    write(tmp_path, {"masks/a.png": wide_png(np.zeros((2, 3, 3), ">u2"))})
    with pytest.raises(BadData, match=r"masks/a\.png has 16 bits a channel: save it as RGB"):
        colored(tmp_path / "masks/a.png", PALETTE)
    with pytest.raises(BadData, match=r"masks/a\.png is a JPEG file inside: save it as PNG"):
        colored(png(tmp_path, Image.new("RGB", (9, 9)), kind="JPEG"), PALETTE)
    path = png(tmp_path, Image.effect_noise((64, 64), 90))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(
        BadData, match=r"masks/a\.png is damaged: it breaks off .*: replace the file"
    ):
        colored(path, PALETTE)


@pytest.mark.parametrize("alpha", [0, 128])
def test_colours_that_are_transparent_are_refused_and_transparent_black_is_black(
    tmp_path: Path, alpha: int
) -> None:
    map_ = Image.new("RGBA", (2, 1), (*COLORS["cat"], 255))
    map_.putpixel((1, 0), (0, 0, 0, alpha))
    assert colored(png(tmp_path, map_), PALETTE).tolist() == [[1, 0]]
    map_.putpixel((1, 0), (*COLORS["cat"], alpha))
    with pytest.raises(BadData, match=r"has a transparent pixel .* at x 1, y 0: save it without"):
        colored(png(tmp_path, map_), PALETTE)


def wide_png(values: np.ndarray) -> bytes:
    """RGB with 16 bits a channel, which Pillow cannot write and reads as 8."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


# --- placement -------------------------------------------------------------------------------

SIDES = st.tuples(st.integers(1, 60), st.integers(1, 60))


@given(image=SIDES, canvas=SIDES, factor=st.integers(1, 4), position=st.floats(0, 1))
def test_a_map_lies_where_boxes_of_its_image_lie(
    image: tuple[int, int], canvas: tuple[int, int], factor: int, position: float
) -> None:
    fit = letterboxing(image, canvas, position=(position, position))
    values = torch.ones(-(-image[1] // factor), -(-image[0] // factor), dtype=torch.uint8)
    found = placed(values, fit)
    assert found.shape == (canvas[1], canvas[0])
    left, top, right, bottom = fit.placement.apply(torch.tensor([0.0, 0, *image])).tolist()
    rows, columns = found.any(1).nonzero().flatten(), found.any(0).nonzero().flatten()
    inside = [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]
    assert inside == [round(side) for side in (left, top, right, bottom)]
    assert restored(found, image, fit).all()


@given(image=SIDES, at=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)), scale=st.floats(1, 3))
def test_a_pixel_of_a_map_moves_as_points_of_its_image_do(
    image: tuple[int, int], at: tuple[float, float], scale: float
) -> None:
    x, y = int(at[0] * image[0]), int(at[1] * image[1])
    canvas = (round(image[0] * scale) + 3, round(image[1] * scale) + 5)
    fit = letterboxing(image, canvas)
    values = torch.zeros(image[1], image[0], dtype=torch.uint8)
    values[y, x] = 1
    rows, columns = placed(values, fit).nonzero().float().unbind(1)
    centre = fit.placement.apply(torch.tensor([x + 0.5, y + 0.5]))
    assert abs(float(columns.mean()) + 0.5 - float(centre[0])) <= 1
    assert abs(float(rows.mean()) + 0.5 - float(centre[1])) <= 1


@given(image=SIDES, canvas=SIDES)
def test_a_map_that_is_mirrored_twice_is_the_same(
    image: tuple[int, int], canvas: tuple[int, int]
) -> None:
    values = torch.arange(image[0] * image[1], dtype=torch.int32).view(image[1], image[0])
    target = DepthTarget(values, 1.0).placed(letterboxing(image, canvas))
    once = target.mirrored(canvas[0])
    assert torch.equal(once.steps[:, 0], target.steps[:, -1])
    assert torch.equal(once.mirrored(canvas[0]).steps, target.steps)
