"""`make bundle`: what a cluster without a network is installed from, in one folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from local_cluster import ClusterError
from local_cluster.programs import ALL, Module, build, program
from release.build import SUMS, listed, write_sums
from release.errors import ReleaseError

CRANE = Module(
    "crane",
    {"github.com/google/go-containerregistry/cmd/crane": "crane"},
    parent=Path(__file__).parent / "modules",
)
"""Puts an image's layout into a registry, under the digest that it has."""
INSTALLER = Path(__file__).parent / "install.sh"
_HELM = next(module for module in ALL if module.name == "helm")


def make(release: Path, folder: Path) -> Path:
    """Put a release, the programs that install it and a script that calls them into one folder.

    Args:
        release: As `build.make` made it.
        folder: What is made; it must not be there. Images are linked, where that is possible.

    Returns:
        The folder.

    Raises:
        ReleaseError: There is no release, or a program cannot be built.
    """
    if not (release / SUMS).exists():
        raise ReleaseError(f"{release} is no release: `make release` first")
    if folder.exists():
        raise ReleaseError(f"{folder} is there: remove it to bundle again")
    programs = tools()
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for path in listed(release):
            _link(release / path, partial / path)
        for name, file in programs.items():
            _copy(file, partial / "bin" / name)
        _copy(INSTALLER, partial / INSTALLER.name)
        write_sums(partial)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def tools(modules: Sequence[Module] = (_HELM, CRANE)) -> dict[str, Path]:
    """The programs that a bundle brings along, built from their Go modules: they need no library.

    Raises:
        ReleaseError: One cannot be built.
    """
    try:
        build(modules=modules)
    except ClusterError as error:
        raise ReleaseError(str(error)) from None
    return {name: program(name, modules) for module in modules for name in module.programs.values()}


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
