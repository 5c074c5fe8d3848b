"""Disks that are full."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A file system of a few MiB; its path is short, because those of Unix sockets must be."""
    folder = Path(tempfile.mkdtemp(prefix="sihl-"))
    try:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        done = subprocess.run(mount, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"this machine lets us mount no disk: {done.stderr.strip()}")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
    finally:
        folder.rmdir()


def fill(path: Path) -> None:
    """Take all that is left of a disk, by a file that is made, or grows."""
    with path.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12):  # the last bits too: a write may find room for a part
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def crowd(filler: Path, scratch: Path) -> bool:
    """Fill a disk; whether it stays full: no checkpoint lay there that gives its room back."""
    on_its_way = any(scratch.glob("checkpoint-*"))
    fill(filler)
    return not on_its_way
