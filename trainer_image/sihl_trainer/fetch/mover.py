"""Moves an object's bytes: by obstore, which takes a fifth of boto3's time, or by boto3."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import obstore
from obstore import exceptions
from obstore.store import S3Store

from sihl_s3.access import Access, Keys
from sihl_s3.boto import proxies_of
from sihl_s3.client import Connection, told
from sihl_s3.lending import Lender

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

CHUNK_BYTES = 2**18
"""Larger ones are put together in memory that the kernel has to find first: this costs more."""

_HIDDEN = ("AWS_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


class Mover:
    """Reads ranges of a bucket's objects. Thread-safe.

    Args:
        connection: The bucket's, which has learnt its region once it has been asked for anything.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._making = threading.Lock()
        self._made: tuple[Access, S3Store] | None = None
        self._is_fast = True

    def stream(self, key: str, start: int, end: int, etag: str) -> Iterator[Any]:
        """Bytes [start, end), in chunks; of the object that has this ETag, where there is one.

        Raises:
            FileNotFoundError: There is no such object, in obstore's words.
            exceptions.PreconditionError: It has another ETag.
            exceptions.BaseError: It could not be read; boto3 may be able to, or say why not.
        """
        if not self._is_fast:
            return self.stream_slowly(key, start, end, etag)
        options: Any = {"range": (start, end)} | ({"if_match": etag} if etag else {})
        try:
            found = obstore.get(self._store, key, options=options)
        except exceptions.BaseError as error:
            if "CaUsedAsEndEntity" in str(error):
                # Of a certificate that has signed itself as an authority would: OpenSSL takes it.
                self._is_fast = False
                return self.stream_slowly(key, start, end, etag)
            raise
        return iter(found.stream(min_chunk_size=CHUNK_BYTES))

    def stream_slowly(self, key: str, start: int, end: int, etag: str) -> Iterator[Any]:
        """The same by boto3. Raises FaultError."""
        bucket, access = self._connection.access.bucket, self._connection.access
        query = {"Bucket": bucket, "Key": key, "Range": f"bytes={start}-{end - 1}"}
        if etag:
            query["IfMatch"] = etag
        body = self._connection.ask(lambda client: client.get_object(**query))["Body"]
        with body:
            while chunk := told(lambda: body.read(CHUNK_BYTES), access):
                yield chunk

    @property
    def _store(self) -> S3Store:
        """Made when it is first needed: by then the region is known."""
        with self._making:
            access = self._connection.access
            if self._made is None or self._made[0] is not access:
                self._made = (access, _store(access, self._connection.lender))
            return self._made[1]


def _store(access: Access, lender: Lender | None) -> S3Store:
    config: S3Config = {
        "endpoint": access.bucket_endpoint,
        "region": access.signing_region,
        "virtual_hosted_style_request": access.is_virtual,
        "skip_signature": access.keys is None,
    }
    if isinstance(access.keys, Keys):
        config["access_key_id"] = access.keys.access_key_id
        config["secret_access_key"] = access.keys.secret_access_key
        if access.keys.session_token:
            config["session_token"] = access.keys.session_token
    options: ClientConfig = {
        "allow_http": True,
        "connect_timeout": timedelta(seconds=5),
        "timeout": timedelta(minutes=5),
    }
    if access.certificate_authority:
        options["root_certificate"] = access.certificate_authority
    for proxy in proxies_of(access).values():
        options["proxy_url"] = proxy
    provider: Any = lender.for_obstore if lender else None
    with _hidden():
        return S3Store(
            access.bucket,
            config=config,
            client_options=options,
            retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=30)},
            credential_provider=provider,
        )


@contextmanager
def _hidden() -> Iterator[None]:
    """Without the variables that obstore reads when a store is made: it cannot be told not to."""
    found = {k: v for k, v in os.environ.items() if k.upper().startswith(_HIDDEN)}
    for name in found:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(found)
