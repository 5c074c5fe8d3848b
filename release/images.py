"""The images of a release, built from nothing but a commit's files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from platform import machine

from local_cluster import ClusterError
from local_cluster.images import Images
from local_cluster.programs import install_packages, require_debian
from release.errors import ReleaseError
from release.layout import Image, normalised
from release.source import Source

PROJECT = "sihl"
"""The repositories' folder in a registry."""


@dataclass(frozen=True)
class Recipe:
    """How an image is built.

    Args:
        dockerfile: In the checkout.
        title: What it is, for who finds it in a registry.
        space: What building it takes of the disk at its height, in GB: the layers, which later
            images reuse, and twice what is packed of them.
        arguments: The Dockerfile's.
    """

    dockerfile: str
    title: str
    space: float
    arguments: Mapping[str, str] = field(default_factory=dict)


RECIPES = {
    "operator": Recipe("operator/Dockerfile", "sihl's operator, and the store that it may run", 1),
    "dashboard": Recipe("dashboard/Dockerfile", "sihl's dashboard", 1),
    "trainer": Recipe(
        "trainer_image/Dockerfile", "sihl's trainer, for CUDA", 11, {"FLAVOUR": "cuda"}
    ),
    "trainer-cpu": Recipe("trainer_image/Dockerfile", "sihl's trainer, without CUDA", 4),
}
"""By the name of the repository. The chart's default trainer is CUDA's."""


ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
"""What images are built for, as OCI and Debian call it, and as the kernel does."""
_EMULATORS = Path("/proc/sys/fs/binfmt_misc")


class Builder:
    """Builds by buildah, and reuses nothing of earlier builds: they have what Debian had then.

    Args:
        folder: For buildah's own.
        epoch: No file is younger, in seconds since 1970.
        platforms: What for: linux/amd64 and the like.

    Raises:
        ReleaseError: This machine cannot build for one of them.
    """

    def __init__(
        self, folder: Path, epoch: int, platforms: Sequence[str] = ("linux/amd64",)
    ) -> None:
        for platform in platforms:
            if problem := unbuildable(platform, machine(), emulator(platform)):
                raise ReleaseError(problem)
        self._folder = folder
        self._images = [
            Images(folder / each / "state", folder / each / "storage", epoch, each)
            for each in (platform.removeprefix("linux/") for platform in platforms)
        ]

    def require_space(self, names: Sequence[str]) -> None:
        """Whether the disk has room for images, before an hour is spent on them.

        Args:
            names: Of RECIPES.

        Raises:
            ReleaseError: It has not.
        """
        free = shutil.disk_usage(self._folder).free / 1e9
        if problem := cramped(names, len(self._images), free):
            raise ReleaseError(f"{self._folder.parent}: {problem}")

    def build(self, name: str, tree: Path, source: Source, target: Path) -> Image:
        """Build an image into a folder.

        Args:
            name: Of RECIPES.
            tree: The commit's files.
            source: The commit.
            target: The layout's folder, which is made.

        Raises:
            ReleaseError: This machine has not what it takes, or the build failed.
        """
        recipe = RECIPES[name]
        tag = f"{PROJECT}/{name}:{source.version}"
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}-") as folder:
            layouts = []
            for images in self._images:
                layout = Path(folder) / images.architecture
                try:
                    require_debian()
                    install_packages()
                    built = images.prepare(tag, tree / recipe.dockerfile, tree, recipe.arguments)
                    images.save(built, layout)
                except ClusterError as error:
                    raise ReleaseError(str(error)) from None
                layouts.append(layout)
            return normalised(layouts, target, source.epoch, labels(recipe, source))


def unbuildable(platform: str, machine: str, emulator: str) -> str | None:
    """Why a machine cannot build for a platform, with the remedy, or None.

    Args:
        platform: linux/arm64 or the like.
        machine: As the kernel calls it.
        emulator: What the kernel says of the one for the platform; empty where it knows none.
    """
    system, _, architecture = platform.partition("/")
    if system != "linux" or architecture not in ARCHITECTURES:
        known = ", ".join(f"linux/{each}" for each in ARCHITECTURES)
        return f"PLATFORMS has {platform!r}: images are built for {known}"
    wanted = ARCHITECTURES[architecture]
    if wanted == machine or ("enabled" in emulator and "F" in _flags(emulator)):
        return None
    return (
        f"this machine ({machine}) cannot build for {platform}: give its kernel an emulator that "
        f"works in every root (Debian: apt-get install qemu-user-static binfmt-support; what "
        f"{_EMULATORS / f'qemu-{wanted}'} says must have the flag F), or leave it out of PLATFORMS"
    )


def cramped(names: Sequence[str], platforms: int, free: float) -> str | None:
    """Why a disk has no room to build images, with the remedy, or None.

    Args:
        names: Of RECIPES.
        platforms: For how many.
        free: In GB.
    """
    wanted = {name: RECIPES[name].space * platforms for name in names}
    if sum(wanted.values()) <= free:
        return None
    each = ", ".join(f"{name} {space:.0f}" for name, space in wanted.items())
    return (
        f"{free:.0f} GB of disk are free, and building takes {sum(wanted.values()):.0f} ({each}): "
        "make room, or build some by IMAGES=operator,dashboard,trainer-cpu"
    )


def emulator(platform: str) -> str:
    """What this kernel says of an emulator for a platform."""
    name = ARCHITECTURES.get(platform.partition("/")[2], "")
    try:
        return (_EMULATORS / f"qemu-{name}").read_text()
    except OSError:
        return ""


def _flags(emulator: str) -> str:
    lines = (line.partition(":") for line in emulator.splitlines())
    return next((value for name, _, value in lines if name == "flags"), "")


def labels(recipe: Recipe, source: Source) -> dict[str, str]:
    """What an image says of itself."""
    said = {
        "title": recipe.title,
        "version": source.version,
        "revision": source.commit,
        "licenses": "Apache-2.0",
    }
    return {f"org.opencontainers.image.{key}": value for key, value in said.items()}
