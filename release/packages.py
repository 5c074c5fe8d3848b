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


def chart(
    helm: Path, tree: Path, source: Source, annotations: Mapping[str, str], folder: Path
) -> Path:
    """Package the chart.

    Args:
        helm: The program.
        tree: The commit's files.
        source: The commit.
        annotations: Added to Chart.yaml.
        folder: Where the package is written.

    Raises:
        ReleaseError: Helm refuses it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "sihl"
        shutil.copytree(tree / "helm", copy, symlinks=False)
        about = yaml.safe_load((copy / "Chart.yaml").read_text())
        about["annotations"] = {**about.get("annotations", {}), **annotations}
        (copy / "Chart.yaml").write_text(yaml.safe_dump(about, sort_keys=False))
        _run(
            helm, "package", copy, "--destination", scratch,
            "--version", source.version, "--app-version", source.version,
        )  # fmt: skip
        packed = Path(scratch) / f"sihl-{source.version}.tgz"
        target = folder / packed.name
        rewrite(packed, target, source.epoch, _nothing, _ignore, ordered=True)
    return target


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
