"""A dataset's place in S3: boto3 lists it, obstore moves its bytes.

Each fault of either is told as what it means for the job: its fields are wrong (`BadConfig`), the
store refuses its keys (`Refused`) or is away (`Unavailable`), or an object changed under our hands
(`Changed`) or cannot be read (`BadData`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import unquote

from obstore import exceptions

from sihl_api.runtime import ExitCode
from sihl_api.trainingjob import S3Location
from sihl_s3.access import Identity, Keys
from sihl_s3.answers import Fault, FaultError, Kind
from sihl_s3.client import Connection
from sihl_trainer.errors import BadConfig, BadData, Refused, TrainerError, Unavailable
from sihl_trainer.fetch.location import access_of, folder_of
from sihl_trainer.fetch.mover import Mover
from sihl_trainer.record.retry import persist

T = TypeVar("T")

PATIENCE = 120.0
"""Seconds that a store may be away before the fetch gives up."""
AT_FIRST = 30.0
"""The same of one that has not answered yet: the pod has nothing to lose, and holds its GPUs."""
BRIEFLY = 5.0
"""The same where asking again soon is of little use, but for a name server that was busy."""
THREADS = 16
_NEVER = datetime.fromtimestamp(0, UTC)
"""When an object changed that the store lists without a time."""


class Changed(TrainerError):  # noqa: N818 (as in `errors`)
    """An object is not the one that was listed; a later attempt lists again."""

    exit_code = ExitCode.UNAVAILABLE


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
        keys: None reads anonymously.
        patience: Seconds that the store may be away before a request counts as failed; one that
            has answered may also refuse for so long, since new keys are a while on their way.
        renewed: The keys as the Secret has them by now; asked when the store refuses.

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
        self.patience = patience
        self.prefix = folder_of(location.prefix)
        self._renewed = renewed or (lambda: keys)
        self._renewing = threading.Lock()
        self._answered = False
        self._has_same_etags = True
        self._use(keys)

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
                    f"{self._where} sent {offset - start:,} of {end - start:,} bytes of "
                    f"{remote.key}: check the store and the network to it",
                )

        def read() -> None:
            try:
                sunk(self._stream(remote, start, end))
            except (exceptions.PreconditionError, FileNotFoundError):
                raise
            except exceptions.BaseError:
                etag = remote.etag if self._has_same_etags else ""
                sunk(self._mover.stream_slowly(remote.key, start, end, etag))

        self._ask(f"read {remote.key}", read)

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
            page = next(self._connection.pages(Prefix=prefix, MaxKeys=1))
        except FaultError:
            return False
        return bool(page.get("Contents"))

    def _listed(self, prefix: str) -> Listing:
        pages = self._ask(
            f"list {prefix or '/'}",
            lambda: [*self._connection.pages(Prefix=prefix, Delimiter="/")],
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
            return self._mover.stream(remote.key, start, end, etag)
        except exceptions.PreconditionError:
            if not self._is_still(remote):
                raise
            # The store compares in its own way, with quotes say: each object is held to its size.
            self._has_same_etags = False
            return self._mover.stream(remote.key, start, end, "")

    def _is_still(self, remote: RemoteObject) -> bool:
        found = self._head(remote)
        same = _bare(found.get("ETag", "")) == _bare(remote.etag)
        return same and found.get("ContentLength") == remote.size

    def _head(self, remote: RemoteObject) -> Mapping[str, Any]:
        query = {"Bucket": self.location.bucket, "Key": remote.key}
        found: Mapping[str, Any] = self._ask(
            f"read {remote.key}",
            lambda: self._connection.ask(lambda client: client.head_object(**query)),
        )
        return found

    def _ask(self, what: str, request: Callable[[], T]) -> T:
        patience = self.patience if self._answered else min(self.patience, AT_FIRST)
        deadline = time.monotonic() + patience
        soon = time.monotonic() + min(self.patience, BRIEFLY)

        def ask() -> T:
            nonlocal deadline
            try:
                found = request()
            except FaultError as error:
                if error.fault.at_once:
                    deadline = soon
                raise self._explained(error.fault, what) from error
            except (exceptions.PreconditionError, FileNotFoundError) as error:
                raise _changed(what) from error  # the latter is obstore's name for a missing object
            self._answered = True
            return found

        def persistently() -> T:
            try:
                return ask()
            except Refused as refused:
                if not self._renew() and not self._answered:
                    raise
                raise Unavailable(refused.reason, refused.message) from refused

        return persist(persistently, f"To {what}", lambda: deadline)

    def _renew(self) -> bool:
        """Whether the Secret has other keys by now, which are used from here on."""
        with self._renewing:
            keys = self._renewed()
            if keys == self._keys:
                return False
            self._use(keys)
            return True

    def _use(self, keys: Keys | Identity | None) -> None:
        self._keys = keys
        try:
            self._connection = Connection(
                access_of(self.location, keys), attempts=2, connections=THREADS
            )
        except FaultError as error:
            raise self._explained(error.fault, "be reached") from error
        self._mover = Mover(self._connection)

    @property
    def _where(self) -> str:
        return f"bucket {self.location.bucket} at {self.location.endpoint}"

    def _explained(self, fault: Fault, what: str) -> TrainerError:
        """What a fault means for the job."""
        reason = f"Dataset{fault.name}"
        text = f"{self._where} {fault.when(what)}: {fault.remedy}"
        match fault.kind:
            case Kind.MISSING:
                return _changed(what)
            case Kind.DENIED:
                return self._denied(fault, what)
            case Kind.NO_BUCKET:
                text = f"there is no {self._where}: correct the dataset's bucket or endpoint"
                return BadConfig(reason, text)
            case Kind.SETTING:
                return BadConfig(reason, f"{text}, in the dataset's location")
            case Kind.OBJECT:
                return BadData(reason, text)
            case Kind.OBSTRUCTED:
                return Refused(reason, text)
            case Kind.AWAY | Kind.UNCHANGED:
                check = "check the dataset's endpoint and region, and that the store is well"
                return Unavailable(reason, text if fault.remedy else f"{text}{check}")

    def _denied(self, fault: Fault, what: str) -> TrainerError:
        text = f"{self._where} refused to {what} ({fault.detail}): "
        credentials = self.location.credentials
        if credentials is None:
            text += "give the dataset credentials, a Secret or the pod's service account: it was "
            text += "read anonymously"
            return BadConfig("DatasetAccessDenied", text)
        if not self._answered and self._connection.is_paid_by_reader():
            text += "it is one whose readers pay (requester pays), which is not supported: copy it"
            return BadConfig("DatasetRequesterPays", text)
        if isinstance(self._keys, Identity):
            text += fault.remedy or (
                f"grant {self._keys.who} read and list, or correct the dataset's bucket"
            )
            return Refused("DatasetAccessDenied", text)
        secret = f"Secret {credentials.secret_name}"
        text += (
            f"{fault.remedy} ({secret})"
            if fault.remedy
            else f"correct accessKeyId and secretAccessKey in {secret}, grant them read and list, "
            "or correct the dataset's bucket"
        )
        return Refused("DatasetAccessDenied", text)


def _changed(what: str) -> Changed:
    return Changed(
        "DatasetChanged",
        f"the dataset changed while it was fetched (asked to {what}): it is fetched anew; leave it "
        "as it is meanwhile",
    )


def _bare(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')
