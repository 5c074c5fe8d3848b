"""Prints where uv is, which makes the environments: the PATH's, or the locked one, installed once.

    $(python3 get_uv.py) run pytest

Whoever has uv needs none of this: `uv run pytest` does all of it.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent


def refuse(problem: str) -> NoReturn:
    """End with the one line that says what is missing; standard output belongs to the path."""
    print(problem, file=sys.stderr, flush=True)
    sys.exit(2)


def on_path() -> str | None:
    """The user's own uv, if it can read the lock."""
    found = shutil.which("uv")
    if found is None:
        return None
    said = subprocess.run([found, "--version"], capture_output=True, text=True).stdout
    version = re.match(r"uv (\d+)\.(\d+)", said)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    oldest = re.fullmatch(r">=(\d+)\.(\d+)", project["tool"]["uv"]["required-version"])
    if version is None or oldest is None:
        return None
    new_enough = tuple(map(int, version.groups())) >= tuple(map(int, oldest.groups()))
    return found if new_enough else None


def locked() -> dict[str, Any]:
    """What uv.lock says of uv itself: `version`, and each file's `hash`."""
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    return next(package for package in lock["package"] if package["name"] == "uv")


def installed() -> str:
    """The locked uv, in the cache; its hash is verified."""
    package = locked()
    cache = Path(os.environ.get("SIHL_CACHE") or Path.home() / ".cache" / "sihl")
    folder = cache / f"uv-{package['version']}"
    program = folder / "bin" / "uv"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".uv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another make may be at it
        if not program.exists():
            shutil.rmtree(folder, ignore_errors=True)
            require_venv()
            run(sys.executable, "-m", "venv", str(folder))
            hashes = [f"--hash={file['hash']}" for file in package["wheels"]]
            listed = folder / "requirements.txt"
            listed.write_text(" ".join([f"uv=={package['version']}", *hashes]) + "\n")
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
            run(*pip, "--disable-pip-version-check", "--require-hashes", "-r", str(listed))
    return str(program)


def require_venv() -> None:
    """Debian packs `venv` apart: install it where we may, else say so."""
    probe = [sys.executable, "-c", "import ensurepip, venv"]
    if subprocess.run(probe, capture_output=True).returncode == 0:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        refuse("python3 has no venv module: install it (Debian: python3-venv), or uv itself")
    run("apt-get", "update", "-qq")
    run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "python3-venv")


def run(*command: str) -> None:
    """Run a command whose output is progress; a failure ends this one."""
    if subprocess.run(command, stdout=sys.stderr).returncode:
        refuse(f"`{' '.join(command)}` failed: see above")


if __name__ == "__main__":
    print(on_path() or installed())
