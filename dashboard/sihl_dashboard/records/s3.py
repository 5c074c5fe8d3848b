"""Records below a bucket's prefix, read with credentials that need to do no more than that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from sihl_api.runtime import STORE_KEYS, STORE_OPTIONAL_KEYS, Env
from sihl_dashboard.records.errors import (
    MissingError,
    RecordsError,
    SettingsError,
    StoreAwayError,
    StoreDeniedError,
    printable,
)
from sihl_dashboard.records.place import Content, Item

T = TypeVar("T")

CONNECTIONS = 16
_MISSING = {"NoSuchKey", "404", "NotFound"}
_UNCHANGED = {"304", "NotModified"}
_REFUSED = {
    "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AllAccessDisabled",
    "InvalidToken", "ExpiredToken", "AuthorizationHeaderMalformed",
}  # fmt: skip

_EXPIRED = {"InvalidToken", "ExpiredToken"}


@dataclass(frozen=True)
class S3Settings:
    """Which bucket, and who reads it: without a key anybody, with a session token for a while."""

    endpoint: str
    bucket: str
    access_key_id: str = field(default="", repr=False)
    secret_access_key: str = field(default="", repr=False)
    prefix: str = ""
    region: str = "us-east-1"
    session_token: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> S3Settings:
        """Read SIHL_STORE_*, the same names that the trainer's pod is given.

        SIHL_STORE_SESSION_TOKEN may stand beside them: of keys that expire.

        Raises:
            SettingsError: one is missing or can be none.
        """
        values = {key: environ.get(Env.store(key), "").strip() for key in STORE_KEYS}
        missing = [k for k, value in values.items() if not value and k not in STORE_OPTIONAL_KEYS]
        if missing:
            raise SettingsError(f"set {', '.join(Env.store(key) for key in missing)}")
        endpoint = values["endpoint"]
        url = urlsplit(endpoint)
        if url.scheme not in ("http", "https") or not url.hostname or "@" in endpoint:
            shown = "" if "@" in endpoint else f" {endpoint!r}"  # it may hold a password
            raise SettingsError(
                f"{Env.store('endpoint')}:{shown} is not a URL such as "
                "https://s3.eu-west-1.amazonaws.com, without user or password"
            )
        for key in ("accessKeyId", "secretAccessKey", "sessionToken"):
            # Libraries print a header that they refuse, and with it the key.
            if not all("!" <= character <= "~" for character in values[key]):
                raise SettingsError(f"{Env.store(key)} has a character that no access key has")
        return cls(
            endpoint=endpoint,
            bucket=values["bucket"],
            access_key_id=values["accessKeyId"],
            secret_access_key=values["secretAccessKey"],
            prefix=values["prefix"].strip("/"),
            region=values["region"] or "us-east-1",
            session_token=values["sessionToken"],
        )


class S3Place:
    """Records in a bucket.

    Args:
        settings: Where, and with which credentials.
        attempts: How often one request is tried before it counts as failed.
        timeout: Seconds that the store may take to accept a connection, or leave one silent.
    """

    def __init__(self, settings: S3Settings, attempts: int = 3, timeout: float = 20) -> None:
        self.settings = settings
        self.prefix = settings.prefix
        self.name = f"store {settings.endpoint}, bucket {settings.bucket}"
        self._client: Any = boto3.session.Session().client(
            "s3",
            endpoint_url=settings.endpoint,
            region_name=settings.region,
            aws_access_key_id=settings.access_key_id or None,
            aws_secret_access_key=settings.secret_access_key or None,
            aws_session_token=settings.session_token or None,
            config=Config(
                signature_version=None if settings.access_key_id else UNSIGNED,
                retries={"mode": "standard", "total_max_attempts": attempts},
                connect_timeout=min(timeout, 5),
                read_timeout=timeout,
                max_pool_connections=CONNECTIONS,
                parameter_validation=False,  # keys are ours, and there are many
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def folders(self, prefix: str) -> list[str]:
        """Names, sorted, of what lies directly below a prefix that ends in a slash."""
        return sorted(
            item["Prefix"][len(prefix) :].rstrip("/")
            for page in self._pages(Prefix=prefix, Delimiter="/")
            for item in page.get("CommonPrefixes", ())
        )

    def items(self, prefix: str, after: str = "") -> list[Item]:
        """All objects whose key begins with the prefix and sorts behind `after`, sorted by key."""
        query = {"Prefix": prefix} | ({"StartAfter": after} if after else {})
        found = [item for page in self._pages(**query) for item in _items(page)]
        return sorted(found, key=lambda item: item.key)

    def first(self, prefix: str) -> list[Item]:
        """Some of these, by one request: the first 1,000 or fewer."""
        return _items(next(self._pages(Prefix=prefix)))

    def get(self, key: str) -> Content:
        """Read an object. Raises MissingError."""
        return self._got(key)

    def changed(self, key: str, tag: str) -> Content | None:
        """Read an object unless its tag is this one still. Raises MissingError."""
        try:
            return self._got(key, IfNoneMatch=tag)
        except _UnchangedError:
            return None

    def part(self, key: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end` (not included) of an object. Raises MissingError."""
        return self._got(key, Range=f"bytes={start}-{end - 1}").data if end > start else b""

    @property
    def _bucket(self) -> str:
        return self.settings.bucket

    def _got(self, key: str, **options: str) -> Content:
        def ask() -> Content:
            answer = self._client.get_object(Bucket=self._bucket, Key=key, **options)
            with answer["Body"] as body:
                return Content(body.read(), str(answer.get("ETag", "")))

        return self._asked(key, ask)

    def _pages(self, **query: Any) -> Iterator[dict[str, Any]]:
        def ask() -> dict[str, Any]:
            found: dict[str, Any] = self._client.list_objects_v2(Bucket=self._bucket, **query)
            return found

        while True:
            page = self._asked(query["Prefix"], ask)
            yield page
            if not page.get("IsTruncated"):
                return
            query["ContinuationToken"] = page["NextContinuationToken"]

    def _asked(self, key: str, request: Callable[[], T]) -> T:
        try:
            return request()
        except ClientError as error:
            raise self._explained(error, key) from error
        except (BotoCoreError, HTTPClientError, OSError) as error:
            raise StoreAwayError(
                f"{self.name} did not answer ({printable(error)}): check that the endpoint is "
                "right and can be reached from here"
            ) from error

    def _explained(self, error: ClientError, key: str) -> RecordsError:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _UNCHANGED:
            return _UnchangedError(key)
        if code in _MISSING:
            return MissingError(key)
        if code == "NoSuchBucket":
            return StoreDeniedError(f"{self.name} does not exist: correct the bucket's name")
        if code in _REFUSED:
            if code in _EXPIRED and self.settings.session_token:
                remedy = "the key is a temporary one: fetch a new one, with its session token"
            elif self.settings.access_key_id:
                remedy = (
                    "correct the access key and its secret, or grant them read and list below "
                    f"{self.prefix or 'the bucket'}/"
                )
            else:
                remedy = "it was read without a key: name one"
            return StoreDeniedError(f"{self.name} refused {printable(key)} ({code}): {remedy}")
        return StoreAwayError(f"{self.name} answered {code or printable(error)}: try again later")


def _items(page: Mapping[str, Any]) -> list[Item]:
    return [Item(item["Key"], item["Size"]) for item in page.get("Contents", ())]


class _UnchangedError(RecordsError):
    """An object's tag is the one that was asked for."""
