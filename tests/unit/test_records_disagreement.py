"""How far jobs disagree on an image: what it is, what it makes of what is no picture, the order."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sihl_dashboard.records import FolderPlace, Records
from sihl_dashboard.records.disagreement import disagreement
from tests.support.recorded import Recorded, recorded


def png(shade: int, size: tuple[int, int] = (8, 4), mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.new("L", size, shade).convert(mode).save(file, "PNG")
    return file.getvalue()


def huge() -> bytes:
    """A small file that says it is 60,000 pixels wide and high."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_alike_is_nothing_and_black_against_white_is_all() -> None:
    assert disagreement([png(90)] * 3) == 0
    assert disagreement([png(0), png(255)]) == 1
    assert disagreement([png(0), png(255), png(0), png(255)]) == 1


@given(st.lists(st.integers(0, 255), min_size=2, max_size=5))
def test_it_lies_between_and_the_order_of_jobs_is_nothing_to_it(shades: list[int]) -> None:
    found = disagreement(map(png, shades))
    assert found is not None
    assert 0 <= found <= 1
    assert found == pytest.approx(disagreement(map(png, reversed(shades))), abs=1e-9)
    assert (found > 1e-6) == (len(set(shades)) > 1)


def test_drawings_of_other_sizes_and_kinds_of_pixels_are_compared_all_the_same() -> None:
    assert disagreement([png(90, (8, 4)), png(90, (16, 8), "RGB")]) == 0
    assert disagreement([png(0, (8, 4), "1"), png(255, (3000, 1500), "RGBA")]) == 1


@pytest.mark.parametrize("wrong", [b"", b"no picture", png(0)[:-30], huge()])
def test_what_is_no_picture_is_left_out(wrong: bytes) -> None:
    assert disagreement([png(0), wrong]) is None
    assert disagreement([png(0), wrong, png(255)]) == 1


def test_images_come_first_on_which_jobs_disagree_most(tmp_path: Path) -> None:
    jobs: list[Recorded] = [recorded(tmp_path, name) for name in ("night", "day")]
    shades = {"a.jpg.png": (0, 0), "b.jpg.png": (0, 200), "c.jpg.png": (0, 100)}
    for number, job in enumerate(jobs):
        job.job()
        folder = f"{job.paths.pictures(1, 10)}boxes/"
        for file, shade in shades.items():
            job.put(folder + file, png(shade[number]))
        job.put(f"{folder}torn.jpg.png", b"none")
        job.put(f"{folder}a.jpg.map.png", png(3))  # data, though it is a PNG
    records = Records(FolderPlace(tmp_path))
    found = records.same_images([job.ref for job in jobs])
    records.close()
    assert [each.file for each in found] == ["b.jpg.png", "c.jpg.png", "a.jpg.png", "torn.jpg.png"]
    assert found[2].disagreement == 0
    assert found[3].disagreement is None
