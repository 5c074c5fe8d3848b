from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sihl_trainer.data.images import decode_fully, opened, pixels, upright_size
from sihl_trainer.errors import BadData
from tests.support.datasets import encoded, jpeg, write
from tests.support.pictures import chunk, deep_png, deep_tiff, indexed, png_of_rows

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
    assert decode_fully(path).size == (96, 64)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("colours", [1, 3])
def test_16_bits_are_scaled_by_the_fewest_that_hold_the_brightest_value_and_that_is_told(
    tmp_path: Path, kind: str, bits: int, colours: int
) -> None:
    most = (1 << bits) - 1
    values = np.array([[0, most // 4, most // 2, most]], np.uint16)
    path = tmp_path / "a"
    picture = values if colours == 1 else np.stack([values] * colours, -1)
    path.write_bytes(deep_png(picture) if kind == "PNG" else deep_tiff(picture))
    shown = read(path)[0]
    assert np.abs(shown.astype(float) - values[0][:, None] / most * 255).max() <= 1
    told = [f"16 bits, of which {bits} are in use: scaled from 0 to {most}, not to 65535"]
    assert list(decode_fully(path).remarks) == (told if bits < 16 else [])


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_grey_tiff_that_is_not_packed_is_upright_too(
    tmp_path: Path, kind: type[Any], orientation: int
) -> None:
    values = stored(np.arange(6).reshape(2, 3, 1), orientation)[..., 0].astype(kind) * 51
    (tmp_path / "a.tif").write_bytes(deep_tiff(values, tags_too={274: orientation}))
    shown = read(tmp_path / "a.tif")[..., 0]
    assert np.abs(shown.astype(int) - np.arange(6).reshape(2, 3) * 51).max() <= 1


def test_channels_of_16_bits_in_planes_are_refused_and_not_taken_for_others(tmp_path: Path) -> None:
    picture = np.zeros((4, 4, 3), np.uint16)
    (tmp_path / "a.tif").write_bytes(deep_tiff(picture, tags_too={284: 2}))
    with pytest.raises(BadData, match="lie in planes"):
        decode_fully(tmp_path / "a.tif")


@pytest.mark.parametrize("channels", [2, 4])
def test_12_bits_beside_an_alpha_of_16_are_not_black(tmp_path: Path, channels: int) -> None:
    picture = np.full((1, 3, channels), 4095, np.uint16)
    picture[..., -1] = 65535
    (tmp_path / "a").write_bytes(deep_png(picture))
    assert read(tmp_path / "a").min() == 255


def test_white_is_zero_is_turned_round_at_16_bits_as_at_8(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(deep_tiff(np.array([[0, 4095]], np.uint16), photometric=0))
    assert read(tmp_path / "a")[0, :, 0].tolist() == [255, 0]


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


@pytest.mark.parametrize(
    ("image", "options", "shown"),
    [
        (Image.new("RGBA", (4, 4), (10, 20, 30, 0)), {}, WHITE),
        (Image.new("RGBA", (4, 4), (10, 20, 30, 255)), {}, (10, 20, 30)),
        (Image.new("LA", (4, 4), (10, 0)), {}, WHITE),
        (Image.new("RGB", (4, 4)).quantize(2), {"transparency": 0}, WHITE),
        (Image.new("RGB", (4, 4), (1, 2, 3)), {"transparency": (1, 2, 3)}, WHITE),
        (Image.new("L", (4, 4), 9), {"transparency": 9}, WHITE),
        (Image.new("I;16", (4, 4), 9), {"transparency": 9}, WHITE),
    ],
)
def test_what_is_transparent_is_seen_on_white_as_in_a_viewer(
    tmp_path: Path, image: Image.Image, options: dict[str, Any], shown: tuple[int, ...]
) -> None:
    (tmp_path / "a").write_bytes(encoded(image, "PNG", **options))
    assert read(tmp_path / "a")[0, 0].tolist() == list(shown)
    told = any("on white" in remark for remark in decode_fully(tmp_path / "a").remarks)
    assert told == (shown == WHITE)


@pytest.mark.parametrize(
    ("pages", "says"),
    [
        ([np.zeros((2, 2), np.uint8)] * 3, "several pages, of which the first is read"),
        ([np.zeros((2, 2, 5), np.uint8)], "5 channels, of which 3 are shown"),
        ([np.zeros((2, 2, 2), np.uint8)], "2 channels, of which 1 are shown"),
    ],
)
def test_pages_and_channels_that_are_not_shown_are_told(
    tmp_path: Path, pages: list[np.ndarray], says: str
) -> None:
    (tmp_path / "a").write_bytes(deep_tiff(*pages))
    assert [remark for remark in decode_fully(tmp_path / "a").remarks if says in remark]


def test_a_page_behind_the_first_that_cannot_be_read_does_not_spoil_it(tmp_path: Path) -> None:
    whole = deep_tiff(np.full((2, 2), 7, np.uint8), np.zeros((2, 2), np.uint8))
    (tmp_path / "a.tif").write_bytes(whole[:-100])
    assert decode_fully(tmp_path / "a.tif").remarks == (
        "pages behind the first that cannot be read: the first is",
    )
    assert (read(tmp_path / "a.tif") == 7).all()


def test_a_preview_before_a_picture_is_told(tmp_path: Path) -> None:
    pages = [np.zeros((2, 2), np.uint8)] * 2
    (tmp_path / "a.tif").write_bytes(deep_tiff(*pages, tags_too={254: 1}))
    (told,) = decode_fully(tmp_path / "a.tif").remarks
    assert "the first, a preview of another, is read: put the picture first" in told


def test_a_preview_behind_a_picture_is_not_told(tmp_path: Path) -> None:
    encoded_twice = encoded(
        Image.fromarray(corners()), "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))]
    )
    (tmp_path / "a").write_bytes(encoded_twice)
    assert decode_fully(tmp_path / "a") == ((96, 64), ())
    assert read(tmp_path / "a", (12, 8)).shape == (8, 12, 3)


def test_texts_and_profiles_of_a_png_do_not_matter_whatever_they_hold(tmp_path: Path) -> None:
    plain = encoded(Image.fromarray(corners()), "PNG")
    head, rest = plain[:33], plain[33:]
    bomb = zlib.compress(bytes(2 << 20))
    extra = [
        chunk(b"zTXt", b"workflow\0\0" + bomb),
        chunk(b"iCCP", b"profile\0\0" + bomb),
        chunk(b"iTXt", b"broken\0\1"),
        chunk(b"tEXt", b"Comment\0hello")[:-4] + b"\0\0\0\0",  # another checksum
        chunk(b"pHYs", b"\1"),
    ]
    (tmp_path / "a").write_bytes(head + b"".join(extra) + rest[:-12] + b"".join(extra) + rest[-12:])
    assert decode_fully(tmp_path / "a").remarks == ()
    assert (read(tmp_path / "a") == corners()).all()


def test_an_orientation_in_the_text_of_a_png_is_applied(tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    plain = encoded(Image.fromarray(corners()), "PNG")
    text = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    (tmp_path / "a").write_bytes(plain[:33] + text + plain[33:])
    with opened(tmp_path / "a") as image:
        assert upright_size(image) == (64, 96)


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


def of_frame(data: bytes, marker: int, bits: int) -> bytes:
    """A JPEG that says of itself that it is of another process, and of so many bits."""
    at = data.index(b"\xff\xc0")
    return data[: at + 1] + bytes([marker]) + data[at + 2 : at + 4] + bytes([bits]) + data[at + 5 :]


def of_no_height(data: bytes) -> bytes:
    """A JPEG that leaves its height to a segment behind the picture."""
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + b"\0\0" + data[at + 7 :]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (jpeg(200, 200)[:-400], "its data ends before the picture does"),
        (jpeg(200, 200)[:40], "images/a.jpg"),
        (encoded(Image.fromarray(np.zeros((2, 2), np.float32)), "TIFF"), "floating-point"),
        (b"\xff" * 900, "is not a JPEG, PNG or TIFF image"),
        (png_of_rows(4, 4, (b"\0" + bytes(12)) * 3), "its data ends before the picture does"),
        (png_of_rows(4, 4, bytes(20), kind=3), "it has indices of colours, and no colours"),
        (indexed([RED, BLUE], [0, 1, 2]), "it has a pixel of colour 2, and 2 colours"),
        (png_of_rows(4, 4, (b"\x09" + bytes(12)) * 4), "unrecognized data stream"),
        (png_of_rows(4, 4, b"")[:-32] + chunk(b"IDAT", b"rows"), "is damaged"),
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


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty: upload it again"),
        (bytes(900), "is nothing but zeros: upload it again"),
        (b"<!doctype html><title>404</title>", "is a web page: upload the file itself"),
        (b"\xef\xbb\xbf\n<!-- x --><HTML>", "is a web page: upload the file itself"),
        ("<html>".encode("utf-16"), "is a web page: upload the file itself"),
        (b'<?xml version="1.0"?><!DOCTYPE svg PUBLIC "x" "y"><svg/>', "is an SVG drawing"),
        (b"\r\n" + jpeg(9, 9), "is a JPEG behind 2 bytes of something else: upload it as it was"),
        (b"\x1f\x8b\x08", "is a gzip archive: unpack it"),
        (bytes(257) + b"ustar", "is a tar archive: unpack it"),
        (b"!<symlink>../0.jpg", "is a link to another file: upload what it points to"),
        (b"MM\0+\0\x08" + bytes(40), "is a BigTIFF of big-endian numbers: convert it"),
        (b"IIRO\x08", "is a camera's raw image: convert it"),
        (b"Salted__", "is an encrypted file: decrypt it"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"CgBI", bytes(4)), "own kind (CgBI), as apps have: convert"),
        (png_of_rows(0, 4, b"\0" * 4), "is a PNG without a pixel"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "is damaged: its first part is no header"),
        (
            b'<?xml version="1.0"?>\n<Error><Code>NoSuchKey</Code></Error>',
            "a store's error message",
        ),
        (encoded(Image.new("RGB", (9, 9)), "GIF"), "is a GIF image: convert it to JPEG, PNG"),
        (encoded(Image.new("RGB", (9, 9)), "BMP"), "is a BMP image: convert it"),
        (b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0/", "is a WebP image: convert it"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "is an HEIC image: convert it"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "is a JPEG 2000 image: convert it"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
            "which `git lfs pull` brings",
        ),
        (b"\0\x05\x16\x07\0\x02\0\0Mac OS X", "is a macOS resource fork"),
        (
            b'{"error": "not found"}',
            'is a text (\'{"error": "not found"}\'): upload the file itself',
        ),
        (b"/annex/objects/SHA256E-s9--0.jpg\n", "is a git-annex pointer: upload what it points"),
        (b"/9j/4AAQSkZJRgABAQAAAQABAAD", "is an image in Base64: decode it"),
        (jpeg(9, 9).decode("latin1").encode(), "is an image that was saved as text: upload it"),
        (encoded(Image.new("RGB", (9, 9)), "PNG").replace(b"\r\n", b"\n"), "was saved as text"),
        (of_frame(jpeg(40, 40), 0xC1, 12), "is a JPEG of 12 bits a channel: convert it"),
        (of_frame(jpeg(40, 40), 0xC9, 8), "is a JPEG of arithmetic coding"),
        (of_no_height(jpeg(40, 40)), "is a JPEG that does not tell its height"),
        (of_frame(jpeg(40, 40), 0xC3, 8), "is a lossless JPEG: convert it"),
        (of_frame(jpeg(40, 40), 0xF7, 8), "is a JPEG-LS image: convert it"),
    ],
)
def test_a_file_of_an_unread_kind_is_called_what_it_is(
    tmp_path: Path, content: bytes, says: str
) -> None:
    path = write(tmp_path, {"images/a.jpg": content}) / "images" / "a.jpg"
    with pytest.raises(BadData, match=r"images/a\.jpg is ") as caught:
        decode_fully(path)
    assert says in str(caught.value)


@pytest.mark.parametrize("at", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("share", [4, 100])
@pytest.mark.parametrize("fill", [0, 0x55])
def test_a_hole_in_a_png_is_found_by_its_checksums(
    tmp_path: Path, at: float, share: int, fill: int
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3)).astype(np.uint8)
    data = bytearray(encoded(Image.fromarray(noise), "PNG"))
    start, size = int(len(data) * at), len(data) // share
    data[start : start + size] = bytes([fill]) * size
    (tmp_path / "a.png").write_bytes(data[: len(encoded(Image.fromarray(noise), "PNG"))])
    with pytest.raises(BadData, match="is damaged"):
        decode_fully(tmp_path / "a.png")


def test_a_png_that_lacks_its_end_alone_is_read_and_that_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(corners()), "PNG")[:-12])
    assert decode_fully(tmp_path / "a.png").remarks == (
        "no end marker: its last pixels may be missing",
    )
    assert (read(tmp_path / "a.png") == corners()).all()


def test_a_tiff_of_channels_that_are_not_read_says_how_many_it_has(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(deep_tiff(np.zeros((2, 2, 5), np.uint16)))
    with pytest.raises(BadData, match="is a TIFF of 5 channels of 16 bits"):
        decode_fully(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        ({259: 34712}, "compression of a kind that is not read (JPEG 2000): save it with deflate"),
        ({259: 50001}, "(WebP)"),
        ({259: 12345}, "(number 12345)"),
        ({339: 3}, "is a TIFF of 1 channel of 16 bits in floating point; what is read has"),
    ],
)
@pytest.mark.parametrize("is_big", [False, True])
def test_a_tiff_that_is_packed_or_counts_otherwise_says_so(
    tmp_path: Path, tags: dict[int, int], says: str, is_big: bool
) -> None:
    small = deep_tiff(np.zeros((2, 2), np.uint16), tags_too=tags)
    (tmp_path / "a.tif").write_bytes(as_big_tiff(small) if is_big else small)
    with pytest.raises(BadData) as caught:
        decode_fully(tmp_path / "a.tif")
    assert says in str(caught.value)


def as_big_tiff(data: bytes) -> bytes:
    """A TIFF of one page whose tags all stand for themselves, with places of 64 bits."""
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    tags = [struct.unpack_from("<HHII", data, at + 2 + 12 * each) for each in range(count)]
    head = b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, count)
    return head + b"".join(struct.pack("<HHQQ", *tag) for tag in tags) + bytes(8 + len(data))


def test_a_small_file_that_declares_billions_of_pixels_is_refused(tmp_path: Path) -> None:
    bomb = encoded(Image.new("1", (20_000, 20_000)), "PNG")
    assert len(bomb) < 100_000
    (tmp_path / "a.png").write_bytes(bomb)
    with pytest.raises(BadData, match=r"more than 250,000,000 pixels"):
        decode_fully(tmp_path / "a.png")
