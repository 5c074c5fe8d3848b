"""Runs a command in a virtual environment that is built once.

    python3 environment.py EXTRA COMMAND ...        for example: environment.py dev pytest

The environment has the requirements of one of pyproject.toml's extras in the versions of
constraints.txt, whose hashes are verified. It lies outside the checkout, where several checkouts
share it, and holds nothing of the project itself.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent
OLDEST_PYTHON = (3, 11)


def say(text: str) -> None:
    """One line; standard output belongs to the command."""
    print(text, file=sys.stderr, flush=True)


def refuse(problem: str) -> NoReturn:
    """End with the one line that says what is missing."""
    say(problem)
    sys.exit(2)


def requirements(extra: str) -> list[str]:
    """What an extra needs, with the extras that it names in turn (`sihl[trainer]`)."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    if extra not in extras:
        refuse(f"no extra {extra!r} in pyproject.toml: it has {', '.join(extras)}")
    itself = re.compile(rf"^{re.escape(project['name'])}\[(.+)\]$")
    found: list[str] = list(project["dependencies"])
    pending = [extra]
    while pending:
        for requirement in extras[pending.pop()]:
            if own := itself.match(requirement):
                pending += own.group(1).split(",")
            else:
                found.append(requirement)
    return sorted(set(found))


def environment(extra: str) -> Path:
    """The folder of an extra's environment, which is built if need be."""
    wanted = requirements(extra)
    pins = (ROOT / "constraints.txt").read_text()
    recipe = json.dumps([wanted, pins, sys.version_info[:2], sys.prefix])
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    cache = Path(os.environ.get("SIHL_CACHE") or Path.home() / ".cache" / "sihl")
    folder = cache / f"venv-{digest}-{extra}"
    complete = folder / ".complete"
    if complete.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another make may be building it
        if not complete.exists():
            started = time.monotonic()
            say(f"Python environment {folder} (once) ...")
            build(folder, wanted)
            complete.touch()
            say(f"Python environment: {time.monotonic() - started:.0f} s")
    return folder


def build(folder: Path, wanted: list[str]) -> None:
    """Make an environment and install into it, by uv: pip takes minutes to resolve."""
    shutil.rmtree(folder, ignore_errors=True)
    require_venv()
    python = str(folder / "bin" / "python")
    run(sys.executable, "-m", "venv", str(folder))
    listed = folder / "requirements.txt"
    listed.write_text(pin("uv"))
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(listed))
    listed.write_text("".join(f"{line}\n" for line in wanted))
    # Compiled now, once: else a machine that keeps no bytecode compiles torch at each start.
    run(
        str(folder / "bin" / "uv"), "pip", "install", "--compile-bytecode", "--python", python,
        "-r", str(listed), "-c", str(ROOT / "constraints.txt"),
    )  # fmt: skip


def pin(name: str) -> str:
    """The lines of constraints.txt that give a package's version and hashes."""
    lines = (ROOT / "constraints.txt").read_text()
    found = re.search(rf"^{re.escape(name)}==(?:.*\\\n)*.*$", lines, re.MULTILINE)
    if found is None:
        refuse(f"constraints.txt does not pin {name}: make lock")
    return found.group()


def require_venv() -> None:
    """Debian packs `venv` apart: install it where we may, else say so."""
    probe = [sys.executable, "-c", "import ensurepip, venv"]
    if subprocess.run(probe, capture_output=True).returncode == 0:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        refuse("python3 has no venv module: install it (Debian: apt-get install python3-venv)")
    say("installing the Debian package python3-venv ...")
    run("apt-get", "update", "-qq")
    run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "python3-venv")


def run(*command: str) -> None:
    """Run a command whose output is progress; a failure ends this one."""
    done = subprocess.run(command, stdout=sys.stderr)
    if done.returncode:
        refuse(f"`{' '.join(command)}` failed: see above")


def main() -> None:
    """Become the command."""
    if sys.version_info < OLDEST_PYTHON:
        refuse("Python 3.11 or newer is needed: give one by make PYTHON=python3.11 ...")
    if len(sys.argv) < 3:
        refuse("usage: python3 environment.py EXTRA COMMAND ...")
    extra, *command = sys.argv[1:]
    commands = environment(extra) / "bin"
    path = f"{commands}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    os.environ.update(PATH=path, VIRTUAL_ENV=str(commands.parent))
    os.environ.pop("PYTHONHOME", None)
    os.execvp(command[0], command)  # noqa: S606 (becoming the command is what this is for)


if __name__ == "__main__":
    main()
