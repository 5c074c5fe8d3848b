"""A store: keys to bytes, in a folder or (in `s3`) in a bucket.

Every operation either happened when it returns or raises one of three errors, so that callers
need to know nothing of the protocol beneath:

- `MissingObjectError`: there is no such key;
- `errors.Refused`: the store refuses what the Secret says (credentials, bucket, endpoint);
- `errors.Unavailable`: the store did not answer; a later try may succeed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sihl_trainer.errors import Unavailable

CHUNK_BYTES = 1 << 20


class MissingObjectError(Exception):
    """There is nothing under this key."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"the store has no {self.key}"


@dataclass(frozen=True)
class StoredObject:
    """A key and the number of bytes under it."""

    key: str
    bytes: int


class Store(Protocol):
    """Where a namespace's run records lie. Thread-safe."""

    prefix: str
    """The folder within the store below which everything lies; may be empty."""

    def put(self, key: str, data: bytes) -> None:
        """Write an object; whole or not at all."""

    def get(self, key: str) -> bytes:
        """Read a small object. Raises MissingObjectError."""

    def upload(self, key: str, path: Path) -> None:
        """Write a file's content; whole or not at all."""

    def read(self, key: str) -> Iterator[bytes]:
        """Read an object of any size in chunks. Raises MissingObjectError before the first."""

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is removed already."""

    def objects(self, prefix: str) -> list[StoredObject]:
        """All objects whose key begins with the prefix, sorted by key."""

    def folders(self, prefix: str) -> list[str]:
        """Names, sorted, of what lies directly below a prefix that ends in a slash."""

    def uri(self, key: str) -> str:
        """What a person or `spec.model.initialization.uri` calls this key."""

    def key_of(self, uri: str) -> str | None:
        """The key that a URI stands for, or None where it points outside this store."""


class FolderStore:
    """A store in a folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.prefix = ""

    def put(self, key: str, data: bytes) -> None:
        """Write an object; whole or not at all."""
        with self._writing(key) as temporary, temporary.open("wb") as file:
            file.write(data)
            _to_disk(file.fileno(), file.flush)

    def get(self, key: str) -> bytes:
        """Read a small object. Raises MissingObjectError."""
        return b"".join(self.read(key))

    def upload(self, key: str, path: Path) -> None:
        """Write a file's content; whole or not at all."""
        with self._writing(key) as temporary, path.open("rb") as source, temporary.open("wb") as to:
            shutil.copyfileobj(source, to, CHUNK_BYTES)
            _to_disk(to.fileno(), to.flush)

    def read(self, key: str) -> Iterator[bytes]:
        """Read an object of any size in chunks. Raises MissingObjectError before the first."""
        try:
            with (self.root / key).open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise MissingObjectError(key) from None
        except OSError as error:
            raise self._unavailable(error) from error

    def delete(self, key: str) -> None:
        """Remove an object, and its folder with the last one in it."""
        path = self.root / key
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise self._unavailable(error) from error
        with contextlib.suppress(OSError):
            path.parent.rmdir()

    def objects(self, prefix: str) -> list[StoredObject]:
        """All objects whose key begins with the prefix, sorted by key."""
        top = self.root / prefix if prefix.endswith("/") else (self.root / prefix).parent
        found = []
        for folder, _, names in os.walk(top):  # unlike rglob, it bears that folders disappear
            for path in (Path(folder) / name for name in names if not name.startswith(".")):
                with contextlib.suppress(FileNotFoundError):  # removed since it was listed
                    key = path.relative_to(self.root).as_posix()
                    found.append(StoredObject(key, path.stat().st_size))
        return sorted((o for o in found if o.key.startswith(prefix)), key=lambda o: o.key)

    def folders(self, prefix: str) -> list[str]:
        """Names, sorted, of what lies directly below a prefix that ends in a slash."""
        top = self.root / prefix
        return sorted(path.name for path in top.iterdir() if path.is_dir()) if top.is_dir() else []

    def uri(self, key: str) -> str:
        """The path on this machine."""
        return str(self.root / key)

    def key_of(self, uri: str) -> str | None:
        """The key that a path stands for, or None where it points outside this folder."""
        path = Path(uri)
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else None

    @contextlib.contextmanager
    def _writing(self, key: str) -> Iterator[Path]:
        """A temporary file beside its destination, renamed to it when all went well."""
        target = self.root / key
        temporary: Path | None = None
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".", dir=target.parent)
            os.close(handle)
            temporary = Path(name)
            yield temporary
            temporary.replace(target)
        except OSError as error:
            if temporary:
                temporary.unlink(missing_ok=True)
            raise self._unavailable(error) from error

    def _unavailable(self, error: OSError) -> Unavailable:
        remedy = "free some space" if error.errno == errno.ENOSPC else "check that it is writable"
        return Unavailable(
            "StoreUnavailable", f"the record's folder {self.root}: {error.strerror}; {remedy}"
        )


def _to_disk(descriptor: int, flush: object) -> None:
    assert callable(flush)
    flush()
    os.fsync(descriptor)
