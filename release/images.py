"""The images of a release, built from nothing but a commit's files."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local_cluster import ClusterError
from local_cluster.images import BASE, Images
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


@dataclass(frozen=True)
class Builder:
    """Builds by buildah, in the cache of the local cluster.

    Args:
        state: A folder for buildah's own.
        afresh: Reuse no layer: an old one has what Debian's archive had then.
    """

    state: Path
    afresh: bool = True

    @property
    def base(self) -> tuple[str, str]:
        """Name and digest of what all are built from. Raises ReleaseError."""
        try:
            return BASE, Images(self.state).base_digest()
        except ClusterError as error:
            raise ReleaseError(str(error)) from None

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
        images = Images(self.state)
        try:
            require_debian()
            install_packages()
            tag = f"{PROJECT}/{name}:release-{source.version}"
            file = tree / recipe.dockerfile
            built = images.prepare(tag, file, tree, recipe.arguments, self.afresh)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}-") as folder:
                raw = Path(folder) / "raw"
                images.save(built, raw)
                if self.afresh:
                    images.forget(built)
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
