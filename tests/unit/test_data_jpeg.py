from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sihl_trainer.data.jpeg import _layout, check

FORMS: dict[str, dict[str, Any]] = {
    "sequential": {},
    "progressive": {"progressive": True},
    "with restart markers": {"restart_marker_blocks": 4},
}


def picture(width: int, height: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Smooth, with some noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (-(-height // 8), -(-width // 8), 3)).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height)), np.int64)
    noisy = (smooth + rng.integers(-9, 9, smooth.shape)).clip(0, 255)
    return Image.fromarray(noisy.astype(np.uint8)).convert(mode)


def encoded(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def with_hole(data: bytes, share: int, fill: int) -> bytes:
    size, at = len(data) // share, len(data) // 2
    return data[:at] + bytes([fill]) * size + data[at + size :]


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    mode=st.sampled_from(["RGB", "L", "CMYK"]),
    quality=st.sampled_from([5, 50, 95, 100]),
    subsampling=st.integers(0, 2),
    optimize=st.booleans(),
    form=st.sampled_from(sorted(FORMS)),
    flat=st.booleans(),
)
def test_a_whole_file_is_whole_with_its_end_marker_or_without_and_whatever_follows(
    width: int,
    height: int,
    mode: str,
    quality: int,
    subsampling: int,
    optimize: bool,
    form: str,
    flat: bool,
) -> None:
    image = Image.new(mode, (width, height)) if flat else picture(width, height, mode)
    data = encoded(
        image, quality=quality, subsampling=subsampling, optimize=optimize, **FORMS[form]
    )
    assert check(data)
    assert check(data + b"\xff\xd8 a preview, or anything")
    assert check(data[:-2] + bytes(300) + data[-2:])
    assert not check(data[:-2])
    assert not check(data[:-1])


@pytest.mark.parametrize("share", [4, 10, 30])
@pytest.mark.parametrize(
    ("form", "fill"),
    # A progressive stream is searched for zeros only, and for markers that are out of place.
    [(form, fill) for form in FORMS for fill in (0, 0x55, 0xFF) if (form[0], fill) != ("p", 0x55)],
)
def test_a_hole_is_found(form: str, share: int, fill: int) -> None:
    data = encoded(picture(320, 240), quality=90, **FORMS[form])
    with pytest.raises((ValueError, OSError)):
        check(with_hole(data, share, fill))


def test_each_scan_that_lacks_its_end_is_found_though_the_others_are_whole() -> None:
    data = encoded(picture(320, 240), quality=90, progressive=True)
    scans = [scan for scan in _layout(data).scans if scan.end - scan.start > 200]
    assert len(scans) > 5
    for scan in scans:
        with pytest.raises(ValueError, match="one of its scans ends before"):
            check(data[: scan.end - 40] + data[scan.end :])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kept", [0.3, 0.6])
def test_a_file_that_breaks_off_is_damaged_and_does_not_only_lack_its_end_marker(
    form: str, kept: float
) -> None:
    data = encoded(picture(320, 240), quality=90, **FORMS[form])
    with pytest.raises(ValueError, match="part of the picture is lost"):
        check(data[: int(len(data) * kept)])
