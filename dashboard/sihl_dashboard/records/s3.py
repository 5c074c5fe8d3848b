"""Records below a bucket's prefix, read with credentials that need to do no more than that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sihl_api.dataset import Addressing
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
from sihl_s3.access import Access, Identity, Keys, is_service
from sihl_s3.answers import Fault, FaultError, Kind
from sihl_s3.client import Connection, told
from sihl_s3.identity import identity_of

T = TypeVar("T")

CONNECTIONS = 16


@dataclass(frozen=True)
class S3Settings:
    """Which bucket, and who reads it: without a key anybody, with a session token for a while.

    An `identity` reads with keys that are lent to it, in place of a key.
    """

    endpoint: str
    bucket: str
    access_key_id: str = field(default="", repr=False)
    secret_access_key: str = field(default="", repr=False)
    prefix: str = ""
    region: str = ""
    session_token: str = field(default="", repr=False)
    addressing: Addressing | None = None
    certificate_authority: str = field(default="", repr=False)
    proxy: str = ""
    identity: Identity | None = None

    @property
    def access(self) -> Access:
        """Which way leads to the bucket."""
        keys = Keys(self.access_key_id, self.secret_access_key, self.session_token)
        return Access(
            self.endpoint,
            self.bucket,
            self.identity or (keys if self.access_key_id else None),
            region=self.region,
            addressing=self.addressing,
            certificate_authority=self.certificate_authority,
            proxy=self.proxy,
        )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> S3Settings:
        """Read SIHL_STORE_*, the same names that the trainer's pod is given.

        SIHL_STORE_SESSION_TOKEN may stand beside them: of keys that expire. With
        SIHL_STORE_SERVICE_ACCOUNT there are none, and what a cloud gives this pod counts instead.

        Raises:
            SettingsError: one is missing or can be none.
        """
        values = {key: environ.get(Env.store(key), "").strip() for key in STORE_KEYS}
        by_identity = values["serviceAccount"].lower() == "true"
        given = (*STORE_OPTIONAL_KEYS, *(("accessKeyId", "secretAccessKey") if by_identity else ()))
        missing = [k for k, value in values.items() if not value and k not in given]
        if missing:
            raise SettingsError(f"set {', '.join(Env.store(key) for key in missing)}")
        endpoint = values["endpoint"]
        if not is_service(endpoint):
            shown = "" if "@" in endpoint else f" {endpoint!r}"  # it may hold a password
            raise SettingsError(
                f"{Env.store('endpoint')}:{shown} is not a URL such as "
                "https://s3.eu-west-1.amazonaws.com, without user or password"
            )
        for key in ("accessKeyId", "secretAccessKey", "sessionToken"):
            # Libraries print a header that they refuse, and with it the key.
            if not all("!" <= character <= "~" for character in values[key]):
                raise SettingsError(f"{Env.store(key)} has a character that no access key has")
        addressing = values["addressing"]
        if addressing and addressing not in set(Addressing):
            raise SettingsError(f"{Env.store('addressing')} is neither Path nor VirtualHost")
        return cls(
            endpoint=endpoint,
            bucket=values["bucket"],
            access_key_id=values["accessKeyId"],
            secret_access_key=values["secretAccessKey"],
            prefix=values["prefix"].strip("/"),
            region=values["region"],
            session_token=values["sessionToken"],
            addressing=Addressing(addressing) if addressing else None,
            certificate_authority=values["certificateAuthority"],
            proxy=values["proxy"],
            identity=_identity(values, environ) if by_identity else None,
        )


def _identity(values: Mapping[str, str], environ: Mapping[str, str]) -> Identity:
    token_file = environ.get(Env.STORE_IDENTITY, "")
    return identity_of(values["endpoint"], values["region"], values, token_file, environ)


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
        self.is_near = False
        try:
            # Keys are ours, and there are many: boto3 need not look at each.
            self._connection = Connection(
                settings.access, attempts, min(timeout, 5), timeout, CONNECTIONS, validates=False
            )
        except FaultError as error:
            raise SettingsError(f"{self.name} {error}") from error

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
            answer = self._connection.ask(
                lambda client: client.get_object(Bucket=self._bucket, Key=key, **options)
            )
            with answer["Body"] as body:
                read = told(body.read, self.settings.access)
                return Content(read, str(answer.get("ETag", "")))

        return self._asked(key, ask)

    def _pages(self, **query: Any) -> Iterator[dict[str, Any]]:
        pages = self._connection.pages(**query)
        while page := self._asked(query["Prefix"], lambda: next(pages, None)):
            yield page

    def _asked(self, key: str, request: Callable[[], T]) -> T:
        try:
            return request()
        except FaultError as error:
            raise self._explained(error.fault, key) from error

    def _explained(self, fault: Fault, key: str) -> RecordsError:
        match fault.kind:
            case Kind.MISSING:
                return MissingError(key)
            case Kind.UNCHANGED:
                return _UnchangedError(key)
            case Kind.NO_BUCKET:
                return StoreDeniedError(f"{self.name} does not exist: correct the bucket's name")
            case Kind.DENIED:
                where = f"{self.name} refused {printable(key)} ({fault.detail})"
                return StoreDeniedError(f"{where}: {fault.remedy or self._remedy()}")
        text = printable(
            f"{self.name} {fault.when(f'read {key}')}: {fault.remedy or 'try again later'}"
        )
        return StoreAwayError(text) if fault.kind is Kind.AWAY else StoreDeniedError(text)

    def _remedy(self) -> str:
        if self.settings.access_key_id and self._connection.is_paid_by_reader():
            return "its readers pay (requester pays), which is not supported: copy it"
        if self.settings.identity is not None:
            below = self.prefix or "the bucket"
            return f"grant {self.settings.identity.who} read and list below {below}/"
        if self.settings.access_key_id:
            return (
                "correct the access key and its secret, or grant them read and list below "
                f"{self.prefix or 'the bucket'}/"
            )
        return "it was read without a key: name one"


def _items(page: Mapping[str, Any]) -> list[Item]:
    return [Item(item["Key"], item["Size"]) for item in page.get("Contents", ())]


class _UnchangedError(RecordsError):
    """An object's tag is the one that was asked for."""
