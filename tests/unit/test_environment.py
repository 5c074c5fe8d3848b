"""make's environments: pinned, and outside the checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import environment

ROOT = Path(__file__).parents[2]


def names(extra: str) -> set[str]:
    return {
        line.split(">")[0].split("=")[0].split("<")[0] for line in environment.requirements(extra)
    }


def test_an_extra_that_names_others_has_what_they_have() -> None:
    assert names("operator") | names("trainer") | names("demo") | names("store") <= names("dev")
    assert not [line for line in environment.requirements("dev") if line.startswith("sihl")]


def test_every_requirement_is_pinned_within_what_is_allowed() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0] for line in lines if not line.startswith("#")}
    assert {name.strip() for name in names("dev")} <= pinned


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
