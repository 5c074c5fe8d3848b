from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sihl_trainer.data.images import decode_fully, opened, pixels, upright_size
from sihl_trainer.errors import BadData
from tests.support.datasets import encoded, jpeg, write

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def corners(width: int = 96, height: int = 64) -> np.ndarray:
    """A picture whose four corners differ."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = RED
    picture[: height // 2, width // 2 :] = GREEN
    picture[height // 2 :, : width // 2] = BLUE
    picture[height // 2 :, width // 2 :] = WHITE
    return picture


def stored(picture: np.ndarray, orientation: int) -> np.ndarray:
    """The picture as a camera that was held so would have stored it."""
    return {
        1: picture,
        2: picture[:, ::-1],
        3: picture[::-1, ::-1],
        4: picture[::-1],
        5: picture.transpose(1, 0, 2),
        6: np.rot90(picture, 1),
        7: picture[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(picture, -1),
    }[orientation]


def read(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    with opened(path) as image:
        return pixels(image, size).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [None, (48, 32), (12, 8)])
def test_an_image_is_upright_whatever_its_exif_orientation(
    tmp_path: Path, kind: str, orientation: int, size: tuple[int, int] | None
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored(corners(), orientation)))
    path = tmp_path / "a"
    path.write_bytes(encoded(image, kind, exif=exif))
    with opened(path) as found:
        assert upright_size(found) == (96, 64)
    shown = read(path, size)
    width, height = size or (96, 64)
    assert shown.shape == (height, width, 3)
    far, low = width - width // 8, height - height // 8
    near = [(height // 8, width // 8), (height // 8, far), (low, width // 8), (low, far)]
    for (row, column), colour in zip(near, (RED, GREEN, BLUE, WHITE), strict=True):
        assert np.abs(shown[row, column].astype(int) - colour).max() < 40
    assert decode_fully(path) == (96, 64)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_values_are_scaled_over_their_whole_range(tmp_path: Path, kind: str) -> None:
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    (tmp_path / "a").write_bytes(encoded(Image.fromarray(values), kind))
    assert read(tmp_path / "a")[0].tolist() == [[0] * 3, [1] * 3, [128] * 3, [255] * 3]


@pytest.mark.parametrize("values", [(-1000, 1000), (0, 65536)])
def test_values_beyond_16_bits_or_with_a_sign_are_refused_and_not_cut_off(
    tmp_path: Path, values: tuple[int, int]
) -> None:
    found = np.linspace(*values, 48).astype(np.int32).reshape(6, 8)
    Image.fromarray(found).save(tmp_path / "a.tif")
    told = (
        rf"a\.tif cannot be decoded \(its values go from {values[0]} to {values[1]}; 8 or 16 bits"
    )
    with pytest.raises(BadData, match=told):
        decode_fully(tmp_path / "a.tif")


def test_numbers_of_32_bits_that_fit_into_16_are_read_as_these(tmp_path: Path) -> None:
    found = np.linspace(0, 65535, 48).round().astype(np.int32).reshape(6, 8)
    Image.fromarray(found).save(tmp_path / "32.tif")
    Image.fromarray(found.astype(np.uint16)).save(tmp_path / "16.tif")
    with opened(tmp_path / "32.tif") as one, opened(tmp_path / "16.tif") as other:
        assert pixels(one).equal(pixels(other))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_any_mode_becomes_three_channels(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(corners()).convert(mode)
    kind = "TIFF" if mode == "CMYK" else "PNG"
    (tmp_path / "a").write_bytes(encoded(image, kind))
    assert read(tmp_path / "a", (48, 32)).shape == (32, 48, 3)


def test_alpha_is_dropped_and_not_blended(tmp_path: Path) -> None:
    image = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    (tmp_path / "a").write_bytes(encoded(image, "PNG"))
    assert read(tmp_path / "a")[0, 0].tolist() == [10, 20, 30]


def test_a_jpeg_decoded_at_a_fraction_shows_what_a_fully_decoded_one_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 255, (8, 12, 3)).astype(np.uint8)).resize((999, 667))
    (tmp_path / "a").write_bytes(encoded(smooth, "JPEG", quality=95))
    fast = read(tmp_path / "a", (60, 40)).astype(int)
    whole = np.asarray(smooth.resize((60, 40), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(fast - whole).mean() < 3  # 0 to 255, all over the picture


def test_brightness_scales_and_saturates(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(encoded(Image.new("RGB", (2, 2), (10, 100, 200)), "PNG"))
    with opened(tmp_path / "a") as image:
        assert pixels(image, brightness=1.5)[:, 0, 0].tolist() == [15, 150, 255]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (jpeg(200, 200)[:-400], "images/a.jpg cannot be decoded"),
        (jpeg(200, 200)[:40], "images/a.jpg"),
        (b"", "is not a JPEG, PNG or TIFF image"),
        (b"<html>404</html>", "is not a JPEG, PNG or TIFF image"),
        (encoded(Image.new("RGB", (9, 9)), "GIF"), "is not a JPEG, PNG or TIFF image"),
        (encoded(Image.fromarray(np.zeros((2, 2), np.float32)), "TIFF"), "floating-point"),
    ],
)
def test_a_file_that_cannot_be_decoded_is_refused_by_name(
    tmp_path: Path, content: bytes, says: str
) -> None:
    path = write(tmp_path, {"images/a.jpg": content}) / "images" / "a.jpg"
    with pytest.raises(BadData, match=r"images/a\.jpg") as caught:
        decode_fully(path)
    assert says in str(caught.value)
    assert "replace the file, or remove it and what annotates it" in str(caught.value)


def test_a_small_file_that_declares_billions_of_pixels_is_refused(tmp_path: Path) -> None:
    bomb = encoded(Image.new("1", (20_000, 20_000)), "PNG")
    assert len(bomb) < 100_000
    (tmp_path / "a.png").write_bytes(bomb)
    with pytest.raises(BadData, match=r"more than 250,000,000 pixels"):
        decode_fully(tmp_path / "a.png")
