"""The images of a release, built from nothing but a commit's files."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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
        arguments: The Dockerfile's.
    """

    dockerfile: str
    title: str
    arguments: Mapping[str, str] = field(default_factory=dict)


RECIPES = {
    "operator": Recipe("operator/Dockerfile", "sihl's operator, and the store that it may run"),
    "dashboard": Recipe("dashboard/Dockerfile", "sihl's dashboard"),
    "trainer": Recipe("trainer_image/Dockerfile", "sihl's trainer, for CUDA", {"FLAVOUR": "cuda"}),
    "trainer-cpu": Recipe("trainer_image/Dockerfile", "sihl's trainer, without CUDA"),
}
"""By the name of the repository. The chart's default trainer is CUDA's."""


class Builder:
    """Builds by buildah, and reuses nothing of earlier builds: they have what Debian had then.

    Args:
        folder: For buildah's own: some 5 GB, with CUDA 25.
        epoch: No file is younger, in seconds since 1970.
    """

    def __init__(self, folder: Path, epoch: int) -> None:
        self._images = Images(folder / "state", folder / "storage", epoch)

    def build(self, name: str, tree: Path, source: Source, target: Path) -> Image:
        """Build an image into a folder.

        Args:
            name: Of RECIPES.
            tree: The commit's files.
            source: The commit.
            target: The layout's folder, which is made.

        Raises:
            ReleaseError: This machine cannot, or the build failed.
        """
        recipe = RECIPES[name]
        try:
            require_debian()
            install_packages()
            tag = f"{PROJECT}/{name}:{source.version}"
            built = self._images.prepare(tag, tree / recipe.dockerfile, tree, recipe.arguments)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}-") as folder:
                raw = Path(folder) / "raw"
                self._images.save(built, raw)
                return normalised([raw], target, source.epoch, labels(recipe, source))
        except ClusterError as error:
            raise ReleaseError(str(error)) from None


def labels(recipe: Recipe, source: Source) -> dict[str, str]:
    """What an image says of itself."""
    said = {
        "title": recipe.title,
        "version": source.version,
        "revision": source.commit,
        "licenses": "Apache-2.0",
    }
    return {f"org.opencontainers.image.{key}": value for key, value in said.items()}
