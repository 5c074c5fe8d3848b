"""Archives that are the same whenever and wherever they are made from the same files.

What a tool writes holds the time, and sometimes the names of users; the same members are written
again here without. A time before the commit stays, because it is a package's own, and bytecode
beside the file may name it. What is not older was made by the build, and gets a time that no commit
changes: so the next release's layer is this one's where it holds the same.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

Seen = Callable[[str, bytes], None]
Wanted = Callable[[str], bool]
_LEVEL = 6
MADE = 0
"""The time of what a build has made, in seconds since 1970."""
_BUFFER = 1 << 20
_XATTR = "SCHILY.xattr."


class Digest(io.RawIOBase):
    """A file to write to that remembers what went through it.

    Args:
        file: Where it goes; it is not closed.
    """

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Buffer) -> int:
        """Write and count."""
        self._sha256.update(data)
        view = memoryview(data)
        self.size += view.nbytes
        self._file.write(view)
        return view.nbytes

    @property
    def name(self) -> str:
        """In the way of OCI: sha256:..."""
        return f"sha256:{self._sha256.hexdigest()}"


def rewrite(
    source: Path, target: Path, epoch: int, wanted: Wanted, seen: Seen, *, ordered: bool = False
) -> tuple[Digest, Digest]:
    """Write an archive's members again, compressed.

    Args:
        source: A tar, compressed or not.
        target: The gzip file that is written.
        epoch: Members that are not older get MADE as their time, in seconds since 1970.
        wanted: Whether a member's bytes are asked for, by its path without a leading ./
        seen: Told of each such member, and of each whiteout, in their order.
        ordered: Sort the members by name: for archives that hold no links.

    Returns:
        Digests of the tar and of the file.
    """
    with target.open("wb") as file:
        outer = Digest(file)
        with gzip.GzipFile("", "wb", _LEVEL, fileobj=outer, mtime=0) as packed:
            inner = Digest(packed)
            with (
                tarfile.open(source, "r:*") as old,
                tarfile.open(
                    fileobj=inner, mode="w|", bufsize=_BUFFER, format=tarfile.PAX_FORMAT
                ) as new,
            ):
                members = sorted(old, key=lambda member: member.name) if ordered else old
                for member in members:
                    _copy(old, new, member, epoch, wanted, seen)
    return inner, outer


def _copy(
    old: tarfile.TarFile,
    new: tarfile.TarFile,
    member: tarfile.TarInfo,
    epoch: int,
    wanted: Wanted,
    seen: Seen,
) -> None:
    path = member.name.removeprefix("./")
    if wanted(path):
        data = old.extractfile(member) if member.isfile() else None
        seen(path, data.read() if data else b"")
    body = old.extractfile(member) if member.isreg() else None
    member.mtime = int(member.mtime) if member.mtime < epoch else MADE
    member.uname = member.gname = ""
    kept = {k: v for k, v in member.pax_headers.items() if k.startswith(_XATTR)}
    member.pax_headers = kept
    new.addfile(member, body)
