"""A dataset's place in S3: boto3 lists it, obstore moves its bytes.

Each error of either is told as what it means for the job: its fields are wrong (`BadConfig`), the
store refuses its keys (`Refused`) or is away (`Unavailable`), or an object changed under our hands
(`Changed`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
import botocore.session
import obstore
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.utils import parse_timestamp
from obstore import exceptions
from obstore.store import S3Store

from sihl_api.runtime import DATASET_KEYS, DATASET_OPTIONAL_KEYS, Env, ExitCode
from sihl_api.trainingjob import S3Location
from sihl_trainer.credentials import refuse_impossible
from sihl_trainer.errors import BadConfig, Refused, TrainerError, Unavailable
from sihl_trainer.record.retry import persist

if TYPE_CHECKING:
    from obstore.store import S3Config

T = TypeVar("T")

PATIENCE = 120.0
"""Seconds that a store may be away before the fetch gives up."""
THREADS = 16
CHUNK_BYTES = 2**18
"""Larger ones are put together in memory that the kernel has to find first: this costs more."""
_ACCESS_CODES = {
    "403", "401", "AccessDenied", "AllAccessDisabled", "AuthorizationHeaderMalformed",
    "AuthorizationQueryParametersError", "ExpiredToken", "Forbidden", "InvalidAccessKeyId",
    "InvalidToken", "SignatureDoesNotMatch",
}  # fmt: skip
_BUCKET_CODES = {"404", "NoSuchBucket", "NotFound"}


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


@dataclass(frozen=True)
class Keys:
    """An access key, if the dataset needs one; one that expires has a session token."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


def keys_from_environment(location: S3Location, environ: Mapping[str, str]) -> Keys | None:
    """The keys of the Secret that a location names, as the pod is given them.

    Raises:
        Refused: A key of the Secret is missing, or can be none.
    """
    if location.credentials is None:
        return None
    values = {key: environ.get(Env.dataset(key), "").strip() for key in DATASET_KEYS}
    missing = [k for k, value in values.items() if not value and k not in DATASET_OPTIONAL_KEYS]
    if missing:
        raise Refused(
            "DatasetCredentialsMissing",
            f"Secret {location.credentials.secret_name} lacks {' and '.join(missing)}, which "
            f"reading bucket {location.bucket} takes: add it",
        )
    refuse_impossible(values, location.credentials.secret_name, "DatasetCredentialsInvalid")
    return Keys(values["accessKeyId"], values["secretAccessKey"], values["sessionToken"])


class Bucket:
    """A dataset's bucket. Thread-safe.

    Args:
        location: Endpoint, bucket, region and prefix.
        keys: None reads anonymously.
        patience: Seconds that the store may be away before a request counts as failed; one that
            has answered may also refuse for so long, since new keys are a while on their way.
        renewed: The keys as the Secret has them by now; asked when the store refuses.

    Raises:
        BadConfig: The prefix cannot be a folder's.
    """

    def __init__(
        self,
        location: S3Location,
        keys: Keys | None,
        patience: float = PATIENCE,
        renewed: Callable[[], Keys | None] | None = None,
    ) -> None:
        self.location = location
        self.patience = patience
        self.prefix = _folder(location.prefix)
        self._renewed = renewed or (lambda: keys)
        self._renewing = threading.Lock()
        self._answered = False
        self._use(keys)

    def list(self, folder: str = "") -> Listing:
        """What lies directly in a folder of the dataset ("" or one that ends in a slash).

        Raises:
            BadConfig: There is no such bucket, or it is not for everybody.
            Refused: The keys are denied access.
            Unavailable: The store did not answer.
        """
        prefix = self.prefix + folder
        query = {"Bucket": self.location.bucket, "Prefix": prefix, "Delimiter": "/"}

        def ask() -> list[dict[str, Any]]:
            return [*self._client.get_paginator("list_objects_v2").paginate(**query)]

        pages = self._ask(f"list {prefix or '/'}", ask)
        objects = {
            item["Key"][len(prefix) :]: RemoteObject(
                item["Key"], item["Size"], item.get("ETag", ""), item["LastModified"]
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

    def read(
        self, remote: RemoteObject, start: int, end: int, sink: Callable[[int, memoryview], None]
    ) -> None:
        """Read bytes [start, end) of an object into `sink(offset, chunk)`.

        After a failure the range is read anew from its start.

        Raises:
            Refused: Access is denied.
            Changed: The object is no longer the one that was listed.
            Unavailable: The store did not answer, or too little.
        """

        def read() -> None:
            offset = start
            for chunk in self._stream(remote, start, end):
                sink(offset, memoryview(chunk))
                offset += len(chunk)
            if offset != end:
                raise Unavailable(
                    "DatasetUnavailable",
                    f"{self._where} sent {offset - start:,} of {end - start:,} bytes of "
                    f"{remote.key}: check the store and the network to it",
                )

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
        query = {"Bucket": self.location.bucket, "Key": remote.key}
        found = self._ask(f"read {remote.key}", lambda: self._client.head_object(**query))
        by_the_store = found.get("ServerSideEncryption", "AES256") == "AES256"
        return by_the_store and "SSECustomerAlgorithm" not in found

    def _stream(self, remote: RemoteObject, start: int, end: int) -> Iterator[Any]:
        if end == 0:
            return iter(())  # an empty object has no range that could be asked for
        options: Any = {"range": (start, end)}
        if remote.etag:
            options["if_match"] = remote.etag
        found = obstore.get(self._store, remote.key, options=options)
        return iter(found.stream(min_chunk_size=CHUNK_BYTES))

    def _ask(self, what: str, request: Callable[[], T]) -> T:
        def ask() -> T:
            try:
                found = request()
            except Exception as error:
                if told := self._explain(error, what):
                    raise told from error
                raise
            self._answered = True
            return found

        def persistently() -> T:
            try:
                return ask()
            except Refused as refused:
                if not self._renew() and not self._answered:
                    raise
                raise Unavailable(refused.reason, refused.message) from refused

        deadline = time.monotonic() + self.patience
        return persist(persistently, f"To {what}", lambda: deadline)

    def _renew(self) -> bool:
        """Whether the Secret has other keys by now, which are used from here on."""
        with self._renewing:
            keys = self._renewed()
            if keys == self._keys:
                return False
            self._use(keys)
            return True

    def _use(self, keys: Keys | None) -> None:
        self._keys = keys
        self._client = _client(self.location, keys)
        self._store = _store(self.location, keys)

    @property
    def _where(self) -> str:
        return f"bucket {self.location.bucket} at {self.location.endpoint}"

    def _explain(self, error: Exception, what: str) -> TrainerError | None:
        if isinstance(error, ClientError):
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _ACCESS_CODES:
                return self._denied(what, code)
            if code in _BUCKET_CODES:
                return BadConfig(
                    "DatasetBucketNotFound",
                    f"there is no {self._where}: correct the dataset's bucket or endpoint",
                )
            return Unavailable(
                "DatasetUnavailable",
                f"{self._where} answered {code} when asked to {what}: check the dataset's "
                "endpoint and region, and that the store is well",
            )
        if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
            return self._denied(what, type(error).__name__.removesuffix("Error"))
        if isinstance(error, exceptions.PreconditionError | FileNotFoundError):
            return _changed(what)  # the latter is obstore's name for a missing object
        if isinstance(error, BotoCoreError | HTTPClientError | exceptions.BaseError):
            return Unavailable(
                "DatasetUnavailable",
                f"{self._where} did not answer when asked to {what} ({_short(error)}): check that "
                "the endpoint is right and can be reached from the pod",
            )
        return None

    def _denied(self, what: str, code: str) -> TrainerError:
        text = f"{self._where} refused to {what} ({code}): "
        credentials = self.location.credentials
        if credentials is None:
            text += "name a Secret in the dataset's credentials: it was read anonymously"
            return BadConfig("DatasetAccessDenied", text)
        text += (
            f"correct accessKeyId and secretAccessKey in Secret {credentials.secret_name}, grant "
            "them read and list, or correct the dataset's bucket"
        )
        return Refused("DatasetAccessDenied", text)


def _changed(what: str) -> Changed:
    return Changed(
        "DatasetChanged",
        f"the dataset changed while it was fetched (asked to {what}): it is fetched anew; leave it "
        "as it is meanwhile",
    )


def _folder(prefix: str) -> str:
    path = prefix.strip("/")
    for part in path.split("/") if path else ():
        if part in ("", ".", ".."):
            raise BadConfig(
                "DatasetPrefixInvalid",
                f"the dataset's prefix {prefix!r} has the part {part!r}, which no folder can be "
                "called by: correct it to the path of a folder",
            )
    return f"{path}/" if path else ""


def _client(location: S3Location, keys: Keys | None) -> Any:
    signing: dict[str, Any] = {} if keys else {"signature_version": UNSIGNED}
    core = botocore.session.get_session()
    parsers = core.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=_timestamp)
    return boto3.Session(botocore_session=core).client(
        "s3",
        endpoint_url=location.endpoint,
        region_name=location.region,
        aws_access_key_id=keys.access_key_id if keys else None,
        aws_secret_access_key=keys.secret_access_key if keys else None,
        aws_session_token=(keys.session_token or None) if keys else None,
        config=Config(
            retries={"mode": "standard", "total_max_attempts": 2},
            connect_timeout=5,
            read_timeout=30,
            s3={"addressing_style": "path"},
            **signing,
        ),
    )


def _timestamp(value: Any) -> datetime:
    """As botocore's, which spends more on an object's time than on all else of a listing."""
    if isinstance(value, str) and value.endswith("Z"):
        with suppress(ValueError):
            return datetime.fromisoformat(value)
    found: datetime = parse_timestamp(value)
    return found


def _store(location: S3Location, keys: Keys | None) -> S3Store:
    config: S3Config = {
        "endpoint": location.endpoint.rstrip("/"),
        "region": location.region,
        "virtual_hosted_style_request": False,
        "skip_signature": keys is None,
    }
    if keys:
        config["access_key_id"] = keys.access_key_id
        config["secret_access_key"] = keys.secret_access_key
        if keys.session_token:
            config["session_token"] = keys.session_token
    return S3Store(
        location.bucket,
        config=config,
        client_options={
            "allow_http": True,
            "connect_timeout": timedelta(seconds=5),
            "timeout": timedelta(minutes=5),
        },
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=30)},
    )


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:197] + "..."
