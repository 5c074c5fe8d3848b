"""The namespace's S3 store, found by the keys of its Secret `sihl-store`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from boto3.s3.transfer import TransferConfig

from sihl_api.dataset import Addressing
from sihl_api.runtime import STORE_KEYS, STORE_OPTIONAL_KEYS, STORE_SECRET, Env
from sihl_s3.access import Access, Identity, Keys, is_service
from sihl_s3.answers import Fault, FaultError, Kind
from sihl_s3.client import Connection, told
from sihl_s3.identity import identity_of
from sihl_trainer.credentials import refuse_impossible
from sihl_trainer.errors import Refused, TrainerError, Unavailable
from sihl_trainer.record.store import CHUNK_BYTES, MissingObjectError, StoredObject

T = TypeVar("T")

_DENIED = "StoreAccessRefused"
_TRANSFER = TransferConfig(
    # "crt" ignores endpoint_url (boto3#4839).
    preferred_transfer_client="classic",
    max_concurrency=4,
    multipart_threshold=32 << 20,
    multipart_chunksize=16 << 20,
)


@dataclass(frozen=True)
class S3Settings:
    """What the Secret `sihl-store` says: with keys, or as whom the pod's service account asks."""

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
            self.identity or keys,
            region=self.region,
            addressing=self.addressing,
            certificate_authority=self.certificate_authority,
            proxy=self.proxy,
        )

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
        by_identity = values["serviceAccount"].lower() == "true"
        given = (*STORE_OPTIONAL_KEYS, *(("accessKeyId", "secretAccessKey") if by_identity else ()))
        missing = [k for k, value in values.items() if not value and k not in given]
        if missing:
            raise Refused(
                "StoreSecretIncomplete",
                f"Secret {STORE_SECRET} of the job's namespace lacks {', '.join(missing)}: it "
                "needs endpoint, bucket, and either accessKeyId and secretAccessKey or "
                "serviceAccount: true",
            )
        if by_identity and values["accessKeyId"]:
            raise Refused(
                "StoreSecretAmbiguous",
                f"Secret {STORE_SECRET} of the job's namespace has serviceAccount: true beside "
                "accessKeyId: take one of them out",
            )
        endpoint = values["endpoint"]
        if not is_service(endpoint):
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
            region=values["region"],
            session_token=values["sessionToken"],
            addressing=_addressing(values["addressing"]),
            certificate_authority=values["certificateAuthority"],
            proxy=values["proxy"],
            identity=_identity(values, environ) if by_identity else None,
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
        timeout: float = 60,
        renewed: Callable[[], S3Settings] | None = None,
    ) -> None:
        self.settings = settings
        self.prefix = settings.prefix
        self._attempts = attempts
        self._timeout = timeout
        self._renewed = renewed or (lambda: self.settings)
        self._renewing = threading.Lock()
        self._connection = _connection(settings, attempts, timeout)

    def put(self, key: str, data: bytes) -> None:
        """Write an object; whole or not at all."""
        self._write(key, lambda s3: s3.put_object(Bucket=self._bucket, Key=key, Body=data))

    def get(self, key: str) -> bytes:
        """Read a small object. Raises MissingObjectError."""
        return b"".join(self.read(key))

    def upload(self, key: str, path: Path) -> None:
        """Write a file's content; whole or not at all."""
        self._write(key, lambda s3: s3.upload_file(str(path), self._bucket, key, Config=_TRANSFER))

    def read(self, key: str) -> Iterator[bytes]:
        """Read an object of any size in chunks. Raises MissingObjectError before the first."""
        access = self.settings.access
        body = self._ask(key, lambda s3: s3.get_object(Bucket=self._bucket, Key=key))["Body"]
        try:
            while chunk := self._told(key, lambda: told(lambda: body.read(CHUNK_BYTES), access)):
                yield chunk
        finally:
            body.close()

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is removed already."""
        # One by one: not every store knows DeleteObjects, and a checkpoint has few files.
        self._ask(key, lambda s3: s3.delete_object(Bucket=self._bucket, Key=key))

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
        return self._tried(query["Prefix"], lambda connection: [*connection.pages(**query)])

    def _write(self, key: str, request: Callable[[Any], object]) -> None:
        """What a store lacks that cannot put an object where there is none is the bucket."""
        try:
            self._ask(key, request)
        except MissingObjectError as error:
            raise _without_bucket(self.settings) from error
        except Refused as error:
            if error.reason == _DENIED and self._lacks_bucket():
                raise _without_bucket(self.settings) from error
            raise

    def _lacks_bucket(self) -> bool:
        """Whether keys that may not write would find none to write into.

        Some stores would make it, SeaweedFS for one, and refuse who may not.
        """
        try:
            next(self._connection.pages(Prefix=self.prefix, MaxKeys=1), None)
        except FaultError as error:
            return error.fault.kind is Kind.NO_BUCKET
        return False

    def _ask(self, key: str, request: Callable[[Any], T]) -> T:
        return self._tried(key, lambda connection: connection.ask(request))

    def _tried(self, key: str, request: Callable[[Connection], T]) -> T:
        """A request, and once more if it failed with keys that are no longer the Secret's."""
        used = self._connection
        try:
            return self._told(key, lambda: request(used))
        except TrainerError:
            if not self._renew(used):
                raise
        return self._told(key, lambda: request(self._connection))

    def _renew(self, used: Connection) -> bool:
        """Whether there is by now another connection than the one that was used.

        Raises:
            Refused: the Secret is no longer whole.
        """
        with self._renewing:
            # The record stays where it began, below the prefix of then.
            said = replace(self._renewed(), prefix=self.prefix)
            if said != self.settings:
                self._connection = _connection(said, self._attempts, self._timeout)
                self.settings = said
            return self._connection is not used

    def _told(self, key: str, request: Callable[[], T]) -> T:
        try:
            return request()
        except FaultError as error:
            raise _explained(error.fault, key, self.settings) from error


def _identity(values: Mapping[str, str], environ: Mapping[str, str]) -> Identity:
    token_file = environ.get(Env.STORE_IDENTITY, "")
    return identity_of(values["endpoint"], values["region"], values, token_file, environ)


def _addressing(text: str) -> Addressing | None:
    try:
        return Addressing(text) if text else None
    except ValueError:
        raise Refused(
            "StoreAddressingWrong",
            f"Secret {STORE_SECRET}, key addressing: {text!r} is neither Path nor VirtualHost",
        ) from None


def _connection(settings: S3Settings, attempts: int, timeout: float) -> Connection:
    """Raises Refused, of a Secret that names no store."""
    try:
        return Connection(settings.access, attempts, min(timeout, 5), timeout)
    except FaultError as error:
        raise _explained(error.fault, None, settings) from error


def _where(settings: S3Settings) -> str:
    return f"store {settings.endpoint}, bucket {settings.bucket} (Secret {STORE_SECRET})"


def _without_bucket(settings: S3Settings) -> Refused:
    return Refused(
        "StoreBucketMissing",
        f"{_where(settings)} does not exist: create the bucket, or correct the Secret's key bucket",
    )


def _explained(
    fault: Fault, key: str | None, settings: S3Settings
) -> TrainerError | MissingObjectError:
    """What a fault means for the one who has to act on it; without a key nothing was asked yet."""
    where = _where(settings)
    told = fault.when("" if key is None else f"write or read {key}")
    text = f"{where} {told}: {fault.remedy}"
    match fault.kind:
        case Kind.MISSING:
            return MissingObjectError(key or "")
        case Kind.NO_BUCKET:
            return _without_bucket(settings)
        case Kind.DENIED:
            who = "correct the Secret's keys accessKeyId and secretAccessKey, or grant them"
            if settings.identity is not None:
                who = f"grant {settings.identity.who}"
            below = settings.prefix or "the bucket"
            remedy = fault.remedy or f"{who} read, write, list and delete below {below}/"
            return Refused(_DENIED, f"{where} refused {key} ({fault.detail}): {remedy}")
        case Kind.AWAY | Kind.UNCHANGED:
            check = "check that the store is well, and the Secret's key endpoint"
            return Unavailable("StoreUnavailable", text if fault.remedy else f"{text}{check}")
        case Kind.SETTING:
            return Refused(f"Store{fault.name}", f"{text}, in the Secret")
        case Kind.OBJECT | Kind.OBSTRUCTED:
            return Refused(f"Store{fault.name}", text)
