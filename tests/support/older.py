"""The release before this one, from the repository's history, as a cluster can run it."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

from local_cluster.images import Images
from local_cluster.settings import cache_folder
from release.changelog import releases
from release.errors import ReleaseError
from release.source import ROOT, export, stamp

_CODE = {
    "operator": ("crds/sihl_api", "operator/sihl_operator"),
    "trainer": ("crds/sihl_api", "crds/sihl_s3", "trainer_image/sihl_trainer"),
}


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

    def image(self, images: Images, part: str, present: str) -> str:
        """Build an image with the release's code on what the present one has installed.

        Building all of it would take minutes, and differ by versions of packages alone.

        Args:
            images: Where it is built, and pushed to.
            part: operator or trainer.
            present: The reference of the present image.

        Returns:
            The reference for pods.
        """
        folders = _CODE[part]
        user = "USER 10001:10001"
        lines = [f"FROM {present}", "USER 0", f"RUN rm -r {' '.join(folders)}"]
        lines += [*(f"COPY {folder} {folder}" for folder in folders), user]
        dockerfile = self.tree / f"{part}.Dockerfile"
        dockerfile.write_text("\n".join(lines) + "\n")
        tag = f"sihl/{part}:{self.version}-on-{present.rpartition(':')[2]}"
        return images.build(tag, dockerfile, self.tree)


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
