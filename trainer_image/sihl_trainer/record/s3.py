"""The namespace's S3 store, found by the keys of its Secret `sihl-store`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from s3transfer.exceptions import RetriesExceededError

from sihl_api.runtime import STORE_KEYS, STORE_OPTIONAL_KEYS, STORE_SECRET, Env
from sihl_trainer.credentials import refuse_impossible
from sihl_trainer.errors import Refused, TrainerError, Unavailable
from sihl_trainer.record.store import CHUNK_BYTES, MissingObjectError, StoredObject

T = TypeVar("T")

# Errors by their S3 code; what is in none of these is taken for the store's own trouble.
_MISSING = {"NoSuchKey", "404", "NotFound"}
_REFUSED = {
    "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AllAccessDisabled",
    "InvalidToken", "ExpiredToken", "AuthorizationHeaderMalformed",
}  # fmt: skip
_TRANSFER = TransferConfig(
    # "crt" ignores endpoint_url (boto3#4839).
    preferred_transfer_client="classic",
    max_concurrency=4,
    multipart_threshold=32 << 20,
    multipart_chunksize=16 << 20,
)


@dataclass(frozen=True)
class S3Settings:
    """What the Secret `sihl-store` says."""

    endpoint: str
    bucket: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    prefix: str = ""
    region: str = "us-east-1"
    session_token: str = field(default="", repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What nobody may read in a log."""
        given = (self.access_key_id, self.secret_access_key, self.session_token)
        return tuple(value for value in given if value)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> S3Settings:
        """Read SIHL_STORE_*, which the pod is given from the Secret.

        Raises:
            Refused: a key is missing or can be none, or the endpoint is not a URL.
        """
        values = {key: environ.get(Env.store(key), "").strip() for key in STORE_KEYS}
        missing = [k for k, value in values.items() if not value and k not in STORE_OPTIONAL_KEYS]
        if missing:
            raise Refused(
                "StoreSecretIncomplete",
                f"Secret {STORE_SECRET} of the job's namespace lacks {', '.join(missing)}: "
                f"it needs endpoint, bucket, accessKeyId and secretAccessKey",
            )
        endpoint = values["endpoint"]
        url = urlsplit(endpoint)
        if url.scheme not in ("http", "https") or not url.hostname or "@" in endpoint:
            shown = "" if "@" in endpoint else f" {endpoint!r}"  # it may hold a password
            raise Refused(
                "StoreEndpointInvalid",
                f"Secret {STORE_SECRET}, key endpoint:{shown} is not a URL such as "
                "https://s3.eu-west-1.amazonaws.com, without user or password",
            )
        refuse_impossible(values, STORE_SECRET, "StoreCredentialsInvalid")
        return cls(
            endpoint=endpoint,
            bucket=values["bucket"],
            access_key_id=values["accessKeyId"],
            secret_access_key=values["secretAccessKey"],
            prefix=values["prefix"].strip("/"),
            region=values["region"] or "us-east-1",
            session_token=values["sessionToken"],
        )


class S3Store:
    """A store in a bucket.

    Args:
        settings: Where, and with which credentials.
        attempts: How often one request is tried before it counts as failed.
        timeout: Seconds that the store may take to accept a connection, or leave one silent.
        renewed: What the Secret says by now; asked when a request fails, which is tried once more
            if that is something else.
    """

    def __init__(
        self,
        settings: S3Settings,
        attempts: int = 3,
        timeout: float = 20,
        renewed: Callable[[], S3Settings] | None = None,
    ) -> None:
        self.settings = settings
        self.prefix = settings.prefix
        self._attempts = attempts
        self._timeout = timeout
        self._renewed = renewed or (lambda: self.settings)
        self._renewing = threading.Lock()
        self._client = _client(settings, attempts, timeout)

    def put(self, key: str, data: bytes) -> None:
        """Write an object; whole or not at all."""
        self._ask(key, lambda: self._client.put_object(Bucket=self._bucket, Key=key, Body=data))

    def get(self, key: str) -> bytes:
        """Read a small object. Raises MissingObjectError."""
        return b"".join(self.read(key))

    def upload(self, key: str, path: Path) -> None:
        """Write a file's content; whole or not at all."""
        self._ask(
            key, lambda: self._client.upload_file(str(path), self._bucket, key, Config=_TRANSFER)
        )

    def read(self, key: str) -> Iterator[bytes]:
        """Read an object of any size in chunks. Raises MissingObjectError before the first."""
        body = self._ask(key, lambda: self._client.get_object(Bucket=self._bucket, Key=key))["Body"]
        try:
            while chunk := self._explained(key, lambda: body.read(CHUNK_BYTES)):
                yield chunk
        finally:
            body.close()

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is removed already."""
        # One by one: not every store knows DeleteObjects, and a checkpoint has few files.
        self._ask(key, lambda: self._client.delete_object(Bucket=self._bucket, Key=key))

    def objects(self, prefix: str) -> list[StoredObject]:
        """All objects whose key begins with the prefix, sorted by key."""
        found = [
            StoredObject(item["Key"], item["Size"])
            for page in self._pages(Prefix=prefix)
            for item in page.get("Contents", ())
        ]
        return sorted(found, key=lambda item: item.key)

    def folders(self, prefix: str) -> list[str]:
        """Names, sorted, of what lies directly below a prefix that ends in a slash."""
        return sorted(
            item["Prefix"][len(prefix) :].rstrip("/")
            for page in self._pages(Prefix=prefix, Delimiter="/")
            for item in page.get("CommonPrefixes", ())
        )

    def uri(self, key: str) -> str:
        """s3://bucket/key."""
        return f"s3://{self._bucket}/{key}"

    def key_of(self, uri: str) -> str | None:
        """The key that an s3:// URI stands for, or None where it names another bucket."""
        start = f"s3://{self._bucket}/"
        return uri.removeprefix(start) if uri.startswith(start) else None

    @property
    def _bucket(self) -> str:
        return self.settings.bucket

    def _pages(self, **query: str) -> list[dict[str, Any]]:
        def ask() -> list[dict[str, Any]]:
            paginator = self._client.get_paginator("list_objects_v2")
            return list(paginator.paginate(Bucket=self._bucket, **query))

        return self._ask(query["Prefix"], ask)

    def _ask(self, key: str, request: Callable[[], T]) -> T:
        """A request, and once more if it failed with keys that are no longer the Secret's."""
        used = self._client
        try:
            return self._explained(key, request)
        except TrainerError:
            if not self._renew(used):
                raise
        return self._explained(key, request)

    def _renew(self, used: Any) -> bool:
        """Whether there is by now another client than the one that was used.

        Raises:
            Refused: the Secret is no longer whole.
        """
        with self._renewing:
            # The record stays where it began, below the prefix of then.
            said = replace(self._renewed(), prefix=self.prefix)
            if said != self.settings:
                self._client = _client(said, self._attempts, self._timeout)
                self.settings = said
            return self._client is not used

    def _explained(self, key: str, request: Callable[[], T]) -> T:
        try:
            return request()
        except Exception as error:
            told = _explain(error, key, self.settings)
            if told is None:
                raise
            raise told from error


def _client(settings: S3Settings, attempts: int, timeout: float) -> Any:
    return boto3.session.Session().client(
        "s3",
        endpoint_url=settings.endpoint,
        region_name=settings.region,
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=settings.secret_access_key,
        aws_session_token=settings.session_token or None,
        config=Config(
            retries={"mode": "standard", "total_max_attempts": attempts},
            connect_timeout=min(timeout, 5),
            read_timeout=timeout,
            s3={"addressing_style": "path"},
            # Stores other than AWS's differ in which checksums they know; every file of a
            # record is held by the sha256 of its manifest instead.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _explain(
    error: BaseException, key: str, settings: S3Settings
) -> TrainerError | MissingObjectError | None:
    """What an error of boto3 means for the one who has to act on it; None if it is none of its."""
    where = f"store {settings.endpoint}, bucket {settings.bucket} (Secret {STORE_SECRET})"
    cause = error.__cause__ or error.__context__
    if type(error).__name__ == "S3UploadFailedError" and cause is not None:
        # upload_file wraps what went wrong in an exception of its own.
        return _explain(cause, key, settings)
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _MISSING:
            return MissingObjectError(key)
        if code == "NoSuchBucket":
            return Refused(
                "StoreBucketMissing",
                f"{where} does not exist: create the bucket, or correct the Secret's key bucket",
            )
        if code in _REFUSED:
            return Refused(
                "StoreAccessRefused",
                f"{where} refused {key} ({code}): correct the Secret's keys accessKeyId and "
                "secretAccessKey, or grant them read, write, list and delete below "
                f"{settings.prefix or 'the bucket'}/",
            )
        return Unavailable("StoreUnavailable", f"{where} answered {code or error} for {key}")
    if isinstance(error, BotoCoreError | HTTPClientError | RetriesExceededError | OSError):
        return Unavailable(
            "StoreUnavailable",
            f"{where} did not answer ({_short(error)}): check that the endpoint is right and "
            "reachable from the pod",
        )
    return None


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:197] + "..."
