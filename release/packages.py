"""The chart and the wheel, as files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml

from local_cluster import ClusterError
from local_cluster.process import run
from release.archives import rewrite
from release.errors import ReleaseError
from release.source import Source


def chart(helm: Path, chart: Path, folder: Path, epoch: int = 0) -> Path:
    """Package a chart, as registries keep it and people install it.

    Args:
        helm: The program.
        chart: The chart's folder.
        folder: Where the package is written.
        epoch: No file in it is younger, in seconds since 1970.

    Raises:
        ReleaseError: Helm refuses it.
    """
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        _run(helm, "package", chart, "--destination", scratch)
        (packed,) = Path(scratch).glob("*.tgz")
        target = folder / packed.name
        rewrite(packed, target, epoch, _nothing, _ignore, ordered=True)
    return target


def annotate(chart: Path, annotations: Mapping[str, str]) -> None:
    """Write into Chart.yaml what a chart says of itself besides."""
    file = chart / "Chart.yaml"
    about = yaml.safe_load(file.read_text())
    about["annotations"] = {**about.get("annotations", {}), **annotations}
    file.write_text(yaml.safe_dump(about, sort_keys=False))


def wheel(tree: Path, source: Source, folder: Path) -> Path:
    """Build the wheel.

    Args:
        tree: The commit's files.
        source: The commit.
        folder: Where the wheel is written.

    Raises:
        ReleaseError: It cannot be built.
    """
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        raise ReleaseError("uv is not on the PATH: `make release` brings it, or install it")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        _run(
            uv, "build", "--quiet", "--wheel", "--no-create-gitignore", "--out-dir", scratch, tree,
            env={"SOURCE_DATE_EPOCH": str(source.epoch)},
        )  # fmt: skip
        (built,) = Path(scratch).glob("*.whl")
        return built.rename(folder / built.name)


def _run(*command: str | Path, env: Mapping[str, str] | None = None) -> None:
    try:
        run(*command, env=env)
    except ClusterError as error:
        raise ReleaseError(str(error)) from None


def _nothing(_: str) -> bool:
    return False


def _ignore(_: str, __: bytes) -> None:
    pass
