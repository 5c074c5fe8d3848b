"""The release before this one, from the repository's history, as a cluster can run it."""

from __future__ import annotations

import hashlib
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

from demo.images import DOCKERFILES, source_digest
from local_cluster.images import Images
from local_cluster.settings import cache_folder
from release.changelog import releases
from release.errors import ReleaseError
from release.source import ROOT, export, stamp


@dataclass(frozen=True)
class Older:
    """A release.

    Args:
        version: X.Y.Z.
        tree: Its files, the chart's among them.
    """

    version: str
    tree: Path

    @property
    def chart(self) -> Path:
        """The chart's folder."""
        return self.tree / "helm"

    def image(self, images: Images, part: str) -> str:
        """Build an image of the release's code on the packages that the release had locked.

        It is built in the way of the present one, so that they share Debian's packages, which no
        release pins; what is the release's own is built once, and then found.

        Args:
            images: Where it is built, and pushed to.
            part: operator or trainer.

        Returns:
            The reference for pods.
        """
        recipe = ROOT / DOCKERFILES[part]
        way = hashlib.sha256(recipe.read_bytes()).hexdigest()[:8]
        tag = f"sihl/{part}:{self.version}-{source_digest(part, self.tree)}-{way}"
        return images.build(tag, recipe, self.tree)


def last_release() -> Older:
    """The newest of releases.yaml.

    A clone without its commit (a shallow one) has the present code in its place, under the older
    version, and is warned: what an upgrade restarts is still tried, what it changes is not.
    """
    version, commit = list(releases(ROOT / "releases.yaml").items())[-1]
    tree = cache_folder() / "releases" / f"{version}-{commit[:12]}"
    if tree.exists():
        return Older(version, tree)
    partial = tree.with_name(f".{tree.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        export(commit, partial)
    except ReleaseError as error:
        warnings.warn(f"{version} is stood in for by the present code: {error}", stacklevel=1)
        shutil.rmtree(partial, ignore_errors=True)
        export("HEAD", partial)
        stamp(partial, version, version)
        return Older(version, partial)
    partial.rename(tree)
    return Older(version, tree)
