"""Where records lie: keys to bytes, in a folder or (in `s3`) below a bucket's prefix. Read only.

Every reading returns, or raises one of three errors:

- `MissingError`: there is no such key;
- `StoreDeniedError`: credentials or rights are at fault;
- `StoreAwayError`: no answer; a later try may succeed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sihl_dashboard.records.errors import MissingError, StoreAwayError, StoreDeniedError


@dataclass(frozen=True)
class Item:
    """A key and the number of bytes under it."""

    key: str
    bytes: int


@dataclass(frozen=True)
class Content:
    """An object's bytes, and the tag that changes with them."""

    data: bytes
    tag: str


class Place(Protocol):
    """A store to read. Thread-safe."""

    prefix: str
    """The folder within it below which the namespaces lie; may be empty."""

    name: str
    """What a person calls it; free of secrets."""

    is_near: bool
    """Whether reading waits for nobody: then several threads read no sooner than one."""

    def folders(self, prefix: str) -> list[str]:
        """Names, sorted, of what lies directly below a prefix that ends in a slash."""

    def items(self, prefix: str, after: str = "") -> list[Item]:
        """All objects whose key begins with the prefix and sorts behind `after`, sorted by key."""

    def get(self, key: str) -> Content:
        """Read an object. Raises MissingError."""

    def changed(self, key: str, tag: str) -> Content | None:
        """Read an object unless its tag is this one still. Raises MissingError."""

    def part(self, key: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end` (not included) of an object. Raises MissingError."""


class FolderPlace:
    """Records in a folder of this machine, as `sihl-trainer local` leaves them."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.prefix = ""
        self.name = f"folder {self.root}"
        self.is_near = True

    def folders(self, prefix: str) -> list[str]:
        """Names, sorted, of what lies directly below a prefix that ends in a slash."""
        try:
            return sorted(path.name for path in self._path(prefix).iterdir() if path.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            if self.root.is_dir():
                return []
            raise self._away("it is not there") from None
        except OSError as error:
            raise self._told(error) from error

    def items(self, prefix: str, after: str = "") -> list[Item]:
        """All objects whose key begins with the prefix and sorts behind `after`, sorted by key."""
        path = self._path(prefix)
        top = path if prefix.endswith("/") else path.parent
        found = []
        try:
            for each in top.rglob("*"):
                # The writer's temporary files begin with a dot.
                if each.name.startswith(".") or not each.is_file():
                    continue
                key = each.relative_to(self.root).as_posix()
                if key.startswith(prefix) and key > after:
                    found.append(Item(key, each.stat().st_size))
        except FileNotFoundError:
            return self.items(prefix, after)  # one went away, into a sum, while we looked
        except OSError as error:
            raise self._told(error) from error
        return sorted(found, key=lambda item: item.key)

    def get(self, key: str) -> Content:
        """Read an object. Raises MissingError."""
        try:
            with self._path(key).open("rb") as file:
                return Content(file.read(), _tag(os.fstat(file.fileno())))
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise MissingError(key) from None
        except OSError as error:
            raise self._told(error) from error

    def changed(self, key: str, tag: str) -> Content | None:
        """Read an object unless its tag is this one still. Raises MissingError."""
        try:
            return None if _tag(self._path(key).stat()) == tag else self.get(key)
        except (FileNotFoundError, NotADirectoryError):
            raise MissingError(key) from None
        except OSError as error:
            raise self._told(error) from error

    def part(self, key: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end` (not included) of an object. Raises MissingError."""
        try:
            with self._path(key).open("rb") as file:
                file.seek(start)
                return file.read(end - start)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise MissingError(key) from None
        except OSError as error:
            raise self._told(error) from error

    def _path(self, key: str) -> Path:
        if key.startswith("/") or "\0" in key or ".." in key.split("/"):
            raise MissingError(key)  # it would leave the folder
        return self.root / key

    def _told(self, error: OSError) -> StoreAwayError | StoreDeniedError:
        if isinstance(error, PermissionError):
            return StoreDeniedError(
                f"{self.name} may not be read ({error.filename}): run as its owner, or grant "
                "read permission"
            )
        return self._away(error.strerror or str(error))

    def _away(self, why: str) -> StoreAwayError:
        return StoreAwayError(f"{self.name}: {why}; check the path, and that its disk is mounted")


def _tag(found: os.stat_result) -> str:
    return f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"
