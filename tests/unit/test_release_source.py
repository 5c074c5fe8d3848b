"""One version, of one commit."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import sihl_dashboard.cli.main
import sihl_dashboard.server.main
import sihl_operator.main
import sihl_trainer.cli
from release.errors import ReleaseError
from release.source import (
    ROOT,
    Source,
    declared_version,
    export,
    read_source,
    require_releasable,
    stamp,
)

CLEAN = Source("1.2.3", "c" * 40, 1_700_000_000)
PROGRAMS: dict[str, Callable[[], object]] = {
    "sihl-operator": sihl_operator.main.main,
    "sihl-dashboard": sihl_dashboard.server.main.main,
    "sihl-trainer": sihl_trainer.cli.main,
    "kubectl sihl": sihl_dashboard.cli.main.main,
}


def test_chart_and_readme_have_the_version_of_pyproject() -> None:
    chart = yaml.safe_load((ROOT / "helm" / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == declared_version(), "make stamp"
    tags = set(re.findall(r"/sihl/\S+:(\d\S*?)[`;\s]", (ROOT / "README.md").read_text()))
    assert tags <= {declared_version()}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_says_the_version_that_is_installed(
    program: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    installed = tmp_path / "sihl-9.8.7.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.4\nName: sihl\nVersion: 9.8.7\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", [program, "--version"])
    with pytest.raises(SystemExit) as ended:
        PROGRAMS[program]()
    assert not ended.value.code
    assert capsys.readouterr().out == f"{program} 9.8.7\n"


def test_only_a_tagged_commit_has_a_releases_version() -> None:
    assert replace(CLEAN, tags=("v1.2.3",)).version == "1.2.3"
    assert CLEAN.version == "1.2.3-dev.gcccccccccccc"
    assert CLEAN.python_version == "1.2.3.dev0+gcccccccccccc"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (replace(CLEAN, changed=("a.py",)), "commit or remove"),
        (replace(CLEAN, tags=("v1.2.3",), changed=("a.py",)), "commit or remove"),
        (replace(CLEAN, tags=("v1.2.4",)), "make them one"),
        (replace(CLEAN, declared="1.2"), "X.Y.Z"),
    ],
    ids=["a changed file", "a changed file under a tag", "a tag of another version", "no version"],
)
def test_what_nobody_could_build_again_is_not_built(source: Source, said: str) -> None:
    require_releasable(CLEAN)
    with pytest.raises(ReleaseError, match=said):
        require_releasable(source)


def git(folder: Path, *words: str) -> None:
    name = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", folder, *name, *words], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1.2.3"\n')
    (folder / "helm").mkdir()
    (folder / "helm" / "Chart.yaml").write_text("name: x\nversion: 0.1.0 # a\nappVersion: 0.1.0\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "one")
    return folder


def test_a_checkout_is_read_with_its_tags_and_all_that_differs(checkout: Path) -> None:
    assert (read_source(checkout).tags, read_source(checkout).changed) == ((), ())
    for tag in ("v1.2.3", "nightly", "version-2"):
        git(checkout, "tag", tag)
    (checkout / "new file").touch()
    (checkout / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    source = read_source(checkout)
    assert source.tags == ("v1.2.3",)
    assert set(source.changed) == {"new file", "pyproject.toml"}


def test_an_export_has_the_commits_files_and_not_what_lies_about(
    checkout: Path, tmp_path: Path
) -> None:
    (checkout / "untracked").touch()
    folder = export("HEAD", tmp_path / "export", checkout)
    assert {path.name for path in folder.rglob("*")} == {"pyproject.toml", "helm", "Chart.yaml"}
    assert stamp(folder, "1.2.3.dev0", "1.2.3-dev")
    assert stamp(folder, "1.2.3.dev0", "1.2.3-dev") == []
    chart = yaml.safe_load((folder / "helm" / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == ("1.2.3-dev", "1.2.3-dev")
    assert declared_version(folder) == "1.2.3.dev0"


def test_an_export_is_the_same_whatever_settings_its_user_has(
    checkout: Path, tmp_path: Path
) -> None:
    git(checkout, "config", "tar.umask", "0077")
    git(checkout, "config", "core.autocrlf", "true")
    before = os.umask(0o077)
    try:
        folder = export("HEAD", tmp_path / "export", checkout)
    finally:
        os.umask(before)
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in folder.rglob("*")} == {
        "pyproject.toml": "0o644", "helm": "0o755", "Chart.yaml": "0o644",
    }  # fmt: skip
    assert b"\r" not in (folder / "pyproject.toml").read_bytes()


def test_a_commit_that_a_shallow_clone_lacks_is_told_with_the_remedy(
    checkout: Path, tmp_path: Path
) -> None:
    with pytest.raises(ReleaseError, match="--unshallow"):
        export("d" * 40, tmp_path / "export", checkout)
