"""A dataset's place in S3: boto3 lists it, obstore moves its bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from obstore import exceptions

from sihl_api.dataset import S3Location
from sihl_s3.access import Identity, Keys
from sihl_s3.answers import FaultError
from sihl_trainer.errors import Unavailable
from sihl_trainer.fetch.location import folder_of
from sihl_trainer.fetch.reach import PATIENCE, Reach

_NEVER = datetime.fromtimestamp(0, UTC)
"""When an object changed that the store lists without a time."""


@dataclass(frozen=True)
class RemoteObject:
    """An object as it was listed."""

    key: str
    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True)
class Listing:
    """What lies directly below a prefix: objects, and the names of folders."""

    objects: dict[str, RemoteObject]
    folders: list[str]


class Bucket:
    """A dataset's bucket. Thread-safe.

    Args:
        location: Which, and how it is reached.
        keys: These, `patience` and `renewed` are as `Reach` has them.

    Raises:
        BadConfig: The prefix cannot be a folder's, or the location no store's.
    """

    def __init__(
        self,
        location: S3Location,
        keys: Keys | Identity | None,
        patience: float = PATIENCE,
        renewed: Callable[[], Keys | Identity | None] | None = None,
    ) -> None:
        self.location = location
        self.prefix = folder_of(location.prefix)
        self._reach = Reach(location, keys, patience, renewed or (lambda: keys))
        self._has_same_etags = True

    def list(self, folder: str = "") -> Listing:
        """What lies directly in a folder of the dataset ("" or one that ends in a slash).

        Raises:
            BadConfig: There is no such bucket, it is not for everybody, or the location is wrong.
            Refused: The keys are denied access, or something on the way lets nobody through.
            Unavailable: The store did not answer.
        """
        return self._listed(self.prefix + folder)

    def elsewhere(self, top: Listing) -> str | None:
        """Where the dataset may be, if there is nothing of it where its prefix leads.

        Args:
            top: What lies where its prefix leads.

        Returns:
            A prefix below which there is something, of a way to write it that is often meant.
        """
        if "" in top.folders:
            return f"{self.prefix}/"
        path = self.prefix.rstrip("/")
        meant = (f"/{path}", unquote(path), path.removeprefix(f"{self.location.bucket}/"))
        for each in dict.fromkeys(meant):
            prefix = f"{each.rstrip('/')}/"
            if each != path and self._is_there(prefix):
                return prefix
        return None

    def read(
        self, remote: RemoteObject, start: int, end: int, sink: Callable[[int, memoryview], None]
    ) -> None:
        """Read bytes [start, end) of an object into `sink(offset, chunk)`.

        After a failure the range is read anew from its start.

        Raises:
            BadData: The object is kept in a way in which it cannot be read.
            Refused: Access is denied.
            Changed: The object is no longer the one that was listed.
            Unavailable: The store did not answer, or too little.
        """

        def sunk(chunks: Iterator[Any]) -> None:
            offset = start
            for chunk in chunks:
                sink(offset, memoryview(chunk))
                offset += len(chunk)
            if offset != end:
                raise Unavailable(
                    "DatasetUnavailable",
                    f"{self._reach.where} sent {offset - start:,} of {end - start:,} bytes of "
                    f"{remote.key}: check the store and the network to it",
                )

        def read() -> None:
            try:
                sunk(self._stream(remote, start, end))
            except (exceptions.PreconditionError, FileNotFoundError):
                raise
            except exceptions.BaseError:
                etag = remote.etag if self._has_same_etags else ""
                sunk(self._reach.mover.stream_slowly(remote.key, start, end, etag))

        self._reach.ask(f"read {remote.key}", read)

    def lists_md5(self, remote: RemoteObject) -> bool:
        """Whether an ETag that looks like an MD5 is the content's.

        It is not where the bucket, or the object, is encrypted with keys of a key service or of
        the caller's.

        Raises:
            Refused: Access is denied.
            Changed: The object is gone.
            Unavailable: The store did not answer.
        """
        found = self._head(remote)
        by_the_store = found.get("ServerSideEncryption", "AES256") == "AES256"
        return by_the_store and "SSECustomerAlgorithm" not in found

    def _is_there(self, prefix: str) -> bool:
        """Whether anything is below it, as far as the keys may know."""
        try:
            page = next(self._reach.connection.pages(Prefix=prefix, MaxKeys=1))
        except FaultError:
            return False
        return bool(page.get("Contents"))

    def _listed(self, prefix: str) -> Listing:
        pages = self._reach.ask(
            f"list {prefix or '/'}",
            lambda: [*self._reach.connection.pages(Prefix=prefix, Delimiter="/")],
        )
        objects = {
            item["Key"][len(prefix) :]: RemoteObject(
                item["Key"], item["Size"], item.get("ETag", ""), item.get("LastModified", _NEVER)
            )
            for page in pages
            for item in page.get("Contents", ())
            if item["Key"] != prefix  # a folder's own marker
        }
        folders = [
            item["Prefix"][len(prefix) : -1]
            for page in pages
            for item in page.get("CommonPrefixes", ())
        ]
        return Listing(objects, folders)

    def _stream(self, remote: RemoteObject, start: int, end: int) -> Iterator[Any]:
        if end == 0:
            return iter(())  # an empty object has no range that could be asked for
        etag = remote.etag if self._has_same_etags else ""
        try:
            return self._reach.mover.stream(remote.key, start, end, etag)
        except exceptions.PreconditionError:
            if not self._is_still(remote):
                raise
            # The store compares in its own way, with quotes say: each object is held to its size.
            self._has_same_etags = False
            return self._reach.mover.stream(remote.key, start, end, "")

    def _is_still(self, remote: RemoteObject) -> bool:
        found = self._head(remote)
        same = _bare(found.get("ETag", "")) == _bare(remote.etag)
        return same and found.get("ContentLength") == remote.size

    def _head(self, remote: RemoteObject) -> Mapping[str, Any]:
        query = {"Bucket": self.location.bucket, "Key": remote.key}
        found: Mapping[str, Any] = self._reach.ask(
            f"read {remote.key}",
            lambda: self._reach.connection.ask(lambda client: client.head_object(**query)),
        )
        return found


def _bare(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')
