"""For which machines images are built."""

from __future__ import annotations

from pathlib import Path

import pytest

from release.errors import ReleaseError
from release.images import Builder, unbuildable

EMULATOR = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: {}\noffset 0\n"
EVERYWHERE = EMULATOR.format("POCF")
"""Opened when it was made known, so that it works where an image's files are the root."""


@pytest.mark.parametrize(
    ("platform", "machine", "emulator"),
    [
        ("linux/amd64", "x86_64", ""),
        ("linux/arm64", "aarch64", ""),
        ("linux/arm64", "x86_64", EVERYWHERE),
        ("linux/amd64", "aarch64", EVERYWHERE),
    ],
)
def test_images_are_built_for_this_machine_and_for_what_its_kernel_has_an_emulator_of(
    platform: str, machine: str, emulator: str
) -> None:
    assert unbuildable(platform, machine, emulator) is None


@pytest.mark.parametrize(
    ("platform", "emulator", "said"),
    [
        ("linux/arm64", "", "qemu-user-static"),
        ("linux/arm64", EVERYWHERE.replace("enabled", "disabled"), "leave it out of PLATFORMS"),
        ("linux/arm64", EMULATOR.format("PO"), "flag F"),
        ("linux/s390x", EVERYWHERE, "linux/amd64, linux/arm64"),
        ("windows/amd64", "", "linux/amd64, linux/arm64"),
        ("arm64", EVERYWHERE, "'arm64'"),
    ],
)
def test_what_cannot_be_built_for_is_told_with_the_way_out(
    platform: str, emulator: str, said: str
) -> None:
    problem = unbuildable(platform, "x86_64", emulator)
    assert problem is not None
    assert said in problem


def test_a_platform_that_nobody_builds_for_is_refused_before_anything_is_built(
    tmp_path: Path,
) -> None:
    with pytest.raises(ReleaseError, match="linux/mips"):
        Builder(tmp_path, 1, ["linux/amd64", "linux/mips"])
    assert not any(tmp_path.iterdir())
