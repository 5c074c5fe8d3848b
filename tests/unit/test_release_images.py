"""For which machines images are built, and that it is told by nothing where that was done."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from local_cluster.images import BASE, Images
from local_cluster.process import run
from release.errors import ReleaseError
from release.images import RECIPES, Builder, cramped, unbuildable
from release.layout import Image, blob, normalised
from release.source import ROOT
from tests.unit.test_release_archives import EPOCH, LABELS

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


def test_images_for_which_the_disk_has_no_room_are_refused_with_what_each_takes() -> None:
    few, free = ["operator", "trainer-cpu"], 5.5
    assert cramped(few, 1, free) is None
    assert "free, and building takes 10 (operator 2, trainer-cpu 8)" in str(cramped(few, 2, free))
    assert "trainer 11" in str(cramped([*few, "trainer"], 1, free))


SHELL = """
#include <fcntl.h>
#include <sys/stat.h>
int main(void) { return mkdir("/made", 0777) || open("/made/file", O_CREAT | O_WRONLY, 0666) < 0; }
"""
"""What the build runs as its shell: it makes a folder and a file, whatever it is told."""


def built(folder: Path, umask: int, version: str, epoch: int = EPOCH) -> Image:
    """An image of which one step makes files and one copies those that lie here."""
    context, base = folder / "source", folder / "base"
    for name in ("pyproject.toml", "code/b", "code/a", "code/inner/c"):
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text(version)
    (context / "Dockerfile").write_text(f"FROM {BASE}\nRUN make\nCOPY pyproject.toml code ./\n")
    base.mkdir()
    run("gcc", "-static", "-x", "c", "-o", base / "sh", "-", text=SHELL)
    (base / "Dockerfile").write_text("FROM scratch\nCOPY sh /bin/sh\n")
    images = Images(folder / "state", folder / "storage")
    where = ("--root", folder / "storage", "--runroot", folder / "state" / "buildah")
    run("buildah", *where, "bud", "--tag", BASE, base)
    before = os.umask(umask)
    try:
        reference = images.prepare("sihl/tried:1", context / "Dockerfile", context)
    finally:
        os.umask(before)
    images.save(reference, folder / "saved")
    images.stop()
    return normalised([folder / "saved"], folder / "image", epoch, LABELS)


def layers(image: Image) -> list[str]:
    """Their digests, from the first."""
    (platform,) = image.platforms
    manifest = json.loads(blob(image.folder, platform.digest).read_bytes())
    return [layer["digest"] for layer in manifest["layers"]]


@pytest.mark.slow
def test_steps_that_run_and_that_copy_make_the_same_image_wherever_whenever_and_for_whomever(
    tmp_path: Path,
) -> None:
    first = built(tmp_path / "here", 0o022, "1.0.0")
    assert built(tmp_path / "else" / "where", 0o077, "1.0.0").digest == first.digest
    next_ = built(tmp_path / "next", 0o022, "1.0.1", EPOCH + 86400)
    assert layers(next_)[:-1] == layers(first)[:-1]
    assert layers(next_)[-1] != layers(first)[-1]


@pytest.mark.parametrize("name", RECIPES)
def test_no_layer_of_packages_knows_the_version(name: str) -> None:
    steps = (ROOT / RECIPES[name].dockerfile).read_text().split("\nCOPY ")
    (packages,) = [at for at, step in enumerate(steps) if "--require-hashes" in step]
    (version,) = [at for at, step in enumerate(steps) if step.startswith("pyproject.toml")]
    assert packages < version
