"""Of what a release is made: a commit, its time, its version."""

from __future__ import annotations

import re
import subprocess
import tarfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from release.errors import ReleaseError

ROOT = Path(__file__).resolve().parent.parent
_PLAIN = ("-c", "tar.umask=0022", "-c", "core.autocrlf=false")
"""Whoever's git it is: files as they were committed."""
_RELEASED = re.compile(r"\d+\.\d+\.\d+")


@dataclass(frozen=True)
class Source:
    """What is built.

    Args:
        declared: The version in pyproject.toml, X.Y.Z.
        commit: Its full id.
        epoch: When it was committed, in seconds since 1970: no file in a release is younger.
        tags: The commit's tags of the form vX.Y.Z.
        changed: Files that differ from the commit, or are not in it and not ignored.
    """

    declared: str
    commit: str
    epoch: int
    tags: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """For chart and images: X.Y.Z where the commit has that tag, else one before it."""
        if self.tags:
            return self.declared
        return f"{self.declared}-dev.g{self.commit[:12]}"

    @property
    def python_version(self) -> str:
        """The same by Python's rules."""
        if self.tags:
            return self.declared
        return f"{self.declared}.dev0+g{self.commit[:12]}"


def require_releasable(source: Source) -> None:
    """Whether a commit may be built as what its tags and pyproject.toml call it.

    Raises:
        ReleaseError: It may not; says why and what to do.
    """
    if not _RELEASED.fullmatch(source.declared):
        raise ReleaseError(
            f"pyproject.toml has the version {source.declared!r}: write X.Y.Z, then `make stamp`"
        )
    if source.changed:
        first = ", ".join(source.changed[:3]) + (", ..." if len(source.changed) > 3 else "")
        raise ReleaseError(
            f"the tree differs from commit {source.commit[:12]} in {len(source.changed)} files "
            f"({first}): commit or remove them, since nobody could build this again"
        )
    wrong = [tag for tag in source.tags if tag != f"v{source.declared}"]
    if wrong:
        raise ReleaseError(
            f"the commit is tagged {wrong[0]}, and pyproject.toml says {source.declared}: "
            "make them one"
        )


def read_source(root: Path = ROOT) -> Source:
    """The checkout as it is.

    Raises:
        ReleaseError: It is no git checkout.
    """
    tags = _git(root, "tag", "--points-at", "HEAD").split()
    changed = _git(root, "status", "--porcelain=v1", "-z", "--untracked-files=normal")
    return Source(
        declared=declared_version(root),
        commit=_git(root, "rev-parse", "HEAD").strip(),
        epoch=int(_git(root, "log", "-1", "--format=%ct")),
        tags=tuple(
            tag for tag in tags if _RELEASED.fullmatch(tag.removeprefix("v")) and tag[0] == "v"
        ),
        changed=tuple(entry[3:] for entry in changed.split("\0") if entry[2:3] == " "),
    )


def declared_version(root: Path = ROOT) -> str:
    """What pyproject.toml says: the one place of the version."""
    version: str = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    return version


def export(commit: str, folder: Path, root: Path = ROOT, paths: Sequence[str] = ()) -> Path:
    """Write a commit's files, and nothing else that lies in the checkout.

    Args:
        commit: Which.
        folder: Where to; it is made.
        root: The checkout.
        paths: Only these; by default all.

    Raises:
        ReleaseError: The checkout does not have the commit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = ["git", "-C", str(root), *_PLAIN, "archive", "--format=tar", commit, "--", *paths]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                archive.extractall(folder, filter="tar")
        except tarfile.ReadError:
            pass  # git says what was wrong
        process.stdout.read()
        said = process.stderr.read().decode(errors="replace").strip()
    if process.returncode:
        raise ReleaseError(
            f"commit {commit[:12]} cannot be read ({said}): a shallow clone does not have it, "
            "`git fetch --unshallow` brings it"
        )
    return folder


def stamp(root: Path, declared: str, version: str) -> list[Path]:
    """Write a version to where a tool wants a copy of it.

    Args:
        root: The checkout, or an export of it.
        declared: For pyproject.toml.
        version: For the chart.

    Returns:
        The files that changed.
    """
    changes = {
        root / "pyproject.toml": (r'^version = ".*"$', f'version = "{declared}"'),
        root / "helm" / "Chart.yaml": (r"^(version|appVersion): \S+", rf"\1: {version}"),
    }
    changed = []
    for path, (pattern, text) in changes.items():
        before = path.read_text()
        after = re.sub(pattern, text, before, flags=re.MULTILINE)
        if after != before:
            path.write_text(after)
            changed.append(path)
    return changed


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=120
    )
    if done.returncode:
        raise ReleaseError(f"{root} is no git checkout that can be read: {done.stderr.strip()}")
    return done.stdout
