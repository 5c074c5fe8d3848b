"""make's environments: pinned, and outside the checkout."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import environment

ROOT = Path(__file__).parents[2]


def names(extra: str) -> set[str]:
    return {
        line.split(">")[0].split("=")[0].split("<")[0] for line in environment.requirements(extra)
    }


def test_an_extra_that_names_others_has_what_they_have() -> None:
    assert names("operator") | names("trainer") | names("demo") | names("store") <= names("dev")
    assert not [line for line in environment.requirements("dev") if line.startswith("sihl")]


def pinned(file: str) -> dict[str, str]:
    """Each package's lines by its name."""
    found: dict[str, str] = {}
    for block in re.split(r"^(?=[a-z0-9])", (ROOT / file).read_text(), flags=re.MULTILINE)[1:]:
        name = block.split("==")[0]
        found[name] = found.get(name, "") + block
    return found


@pytest.mark.parametrize(
    ("file", "extras"),
    [
        ("constraints.txt", ["dev"]),
        ("operator/requirements.txt", ["operator", "store"]),
        ("dashboard/requirements.txt", ["dashboard"]),
        ("trainer_image/requirements-cuda.txt", ["trainer"]),
        ("trainer_image/requirements-cpu.txt", ["trainer"]),
    ],
)
def test_every_requirement_is_pinned_with_its_hashes_and_alike_everywhere(
    file: str, extras: list[str]
) -> None:
    pins, everywhere = pinned(file), pinned("constraints.txt")
    wanted = {name.strip() for extra in extras for name in names(extra)}
    if file.endswith("-cpu.txt"):
        wanted -= set((ROOT / "trainer_image/from-debian.txt").read_text().splitlines()[1:])
    assert wanted <= set(pins)
    for name, lines in pins.items():
        assert "--hash=sha256:" in lines, name
        if name in everywhere:  # what builds the package is in the images only
            assert set(versions(lines)) <= set(versions(everywhere[name])), name


def versions(lines: str) -> list[str]:
    return re.findall(r"==([^ ;\\]+)", lines)


def test_a_pin_is_read_with_its_hashes_and_no_others() -> None:
    lines = environment.pin("uv").splitlines()
    assert lines[0].startswith("uv==")
    assert len(lines) > 1
    assert all(line.strip().startswith("--hash=sha256:") for line in lines[1:])


def test_the_demo_needs_no_torch() -> None:
    assert "torch" in names("trainer")
    assert "torch" not in names("demo")


def test_an_unknown_extra_is_refused_in_one_line_that_names_those_there_are() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "environment.py", "devel", "true"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "'devel'" in done.stderr
    assert "dev, " in done.stderr or "dev\n" in done.stderr


def test_a_command_is_run_in_the_environment_and_its_exit_code_is_the_commands(
    tmp_path: Path,
) -> None:
    code = "import json, os, sys; print(os.environ['VIRTUAL_ENV']); sys.exit(7)"
    program = (
        "import environment, sys, pathlib\n"
        f"environment.environment = lambda extra: pathlib.Path({str(tmp_path)!r})\n"
        f"sys.argv = ['environment.py', 'dev', {sys.executable!r}, '-c', {code!r}]\n"
        "environment.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 7
    assert done.stdout.strip() == str(tmp_path)
