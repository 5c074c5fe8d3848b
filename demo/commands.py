"""Programs that the demo calls, and the steps that it tells of."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STEPS = 5


class DemoError(Exception):
    """What is missing or failed, in a line for a person."""


def say(text: str) -> None:
    """One line."""
    print(text, flush=True)


@contextmanager
def step(number: int, what: str) -> Iterator[None]:
    """Say what is being done, and how long it took."""
    started = time.monotonic()
    say(f"[{number}/{STEPS}] {what}")
    yield
    say(f"[{number}/{STEPS}] done in {time.monotonic() - started:.0f} s\n")


def uv() -> str:
    """The uv that runs this program, which tells its children so, or else the PATH's.

    Raises:
        DemoError: There is none.
    """
    found = os.environ.get("UV") or shutil.which("uv")
    if found is None:
        raise DemoError("uv is not found: run the demo by `make demo`, or by `uv run`")
    return found


def run(*command: str | Path, text: str | None = None, timeout: float = 1800) -> str:
    """The output of a command.

    Raises:
        DemoError: It failed; the message has its last lines.
    """
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, input=text, timeout=timeout
    )
    if done.returncode:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-12:])
        raise DemoError(f"`{' '.join(map(str, command[:5]))} ...` failed:\n{last}")
    return done.stdout


def show(*command: str | Path) -> None:
    """Run a command whose output is progress for the person who waits.

    Raises:
        DemoError: It failed.
    """
    done = subprocess.run([str(part) for part in command], stdout=sys.stderr)
    if done.returncode:
        raise DemoError(f"`{' '.join(map(str, command[:5]))} ...` failed: see above")


def succeeds(*command: str | Path) -> bool:
    """Whether a command exists and ends well."""
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, timeout=60)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
