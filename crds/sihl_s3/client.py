"""A client of boto3's that asks what it is told to, and nothing of its environment."""

from __future__ import annotations

import functools
import os
import re
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.hooks import HierarchicalEmitter
from botocore.httpsession import where
from botocore.loaders import create_loader
from botocore.utils import get_environ_proxies, parse_timestamp

from sihl_s3.access import Access, is_certificate, is_proxy, without_bucket
from sihl_s3.answers import (
    Answer,
    Fault,
    FaultError,
    Kind,
    fault_of_code,
    fault_on_the_way,
)
from sihl_s3.transport import fault_of_transport

T = TypeVar("T")

_NOWHERE = {"config_file": "/dev/null", "credentials_file": "/dev/null"}


class Connection:
    """A bucket's client. Where no region was named, it takes the one that the store names.

    Thread-safe.

    Args:
        access: Where the bucket is, and as whom it is asked.
        attempts: How often one request is tried before it counts as failed.
        connect_timeout: Seconds that the store may take to accept a connection.
        read_timeout: Seconds that it may leave one silent.
        connections: How many at a time.
        validates: Whether boto3 checks each request's parameters.

    Raises:
        FaultError: Something of it can be no store's.
    """

    def __init__(
        self,
        access: Access,
        attempts: int = 3,
        connect_timeout: float = 5,
        read_timeout: float = 30,
        connections: int = 10,
        validates: bool = True,
    ) -> None:
        self.access = access
        self._named = access.region
        self._learning = threading.Lock()
        self._options: dict[str, Any] = {
            "retries": {"mode": "standard", "total_max_attempts": attempts},
            "connect_timeout": connect_timeout,
            "read_timeout": read_timeout,
            "max_pool_connections": connections,
            "parameter_validation": validates,
        }
        self._encodes_silently: bool | None = None
        self.client = _client(access, self._options)

    def ask(self, request: Callable[[Any], T]) -> T:
        """Do what is asked of the client; once more where the store names the bucket's region.

        Raises:
            FaultError: It came to nothing.
        """
        used = self.client
        try:
            return told(lambda: request(used), self.access)
        except FaultError as error:
            if not self._learn(error.fault.region, used):
                raise
        return told(lambda: request(self.client), self.access)

    def pages(self, **query: Any) -> Iterator[dict[str, Any]]:
        """The pages of a listing.

        A store that knows the first version of the request only is asked by that: it answers
        the second one in the words of the first, and says not how to go on.

        Raises:
            FaultError: It came to nothing.
        """
        first = {"Bucket": self.access.bucket, **query}
        page = self._page("list_objects_v2", first)
        yield page
        while page.get("IsTruncated"):
            last = _last(page)
            if token := page.get("NextContinuationToken"):
                page = self._page("list_objects_v2", {**first, "ContinuationToken": token})
            else:
                marked = {k: v for k, v in first.items() if k != "StartAfter"} | {"Marker": last}
                page = self._page("list_objects", marked)
            if page.get("IsTruncated") and _last(page) <= last:
                raise FaultError(_REPEATED)
            yield page

    def _page(self, operation: str, query: Mapping[str, Any]) -> dict[str, Any]:
        page: dict[str, Any] = self.ask(lambda client: getattr(client, operation)(**query))
        return page if page.get("EncodingType") or not self._encodes(page) else _decoded(page)

    def _encodes(self, page: Mapping[str, Any]) -> bool:
        """Whether a store encodes keys, as boto3 asks it to, and does not say so.

        Where keys alone do not tell, one of them is looked for.
        """
        if self._encodes_silently is None:
            keys = [item["Key"] for item in page.get("Contents", ())]
            if any(_PLAIN.search(key) for key in keys):
                self._encodes_silently = False
            elif doubtful := next((key for key in keys if unquote(key) != key), None):
                self._encodes_silently = not self._has(doubtful) and self._has(unquote(doubtful))
        return bool(self._encodes_silently)

    def _has(self, key: str) -> bool:
        try:
            self.ask(lambda client: client.head_object(Bucket=self.access.bucket, Key=key))
        except FaultError:
            return False
        return True

    def is_paid_by_reader(self) -> bool:
        """Whether a bucket that refuses lets those in who say that they pay for what they ask.

        Its refusal does not tell that from missing rights. The request costs a few millionths.
        """
        try:
            self.client.list_objects_v2(
                Bucket=self.access.bucket, MaxKeys=1, RequestPayer="requester"
            )
        except Exception:  # whatever it is, the refusal is told as it was
            return False
        return True

    def _learn(self, region: str, used: Any) -> bool:
        """Whether there is a client for this region by now, and it is not the one that was used."""
        if self._named or not region:
            return False
        with self._learning:
            if self.client is used and region != self.access.signing_region:
                within = self.access.within(region)
                with suppress(FaultError):  # a name that no client takes is told as it is
                    self.client, self.access = _client(within, self._options), within
            return self.client is not used


_REPEATED = Fault(Kind.SETTING, "Unsupported", "lists the same objects again and again",
                  "take a store that lists in pages")  # fmt: skip


_PLAIN = re.compile(r'[^!-~]|[#?"<>]')
"""What a key has in it only where it is not encoded."""


def _decoded(page: Mapping[str, Any]) -> dict[str, Any]:
    objects = [{**item, "Key": unquote(item["Key"])} for item in page.get("Contents", ())]
    folders = [{"Prefix": unquote(item["Prefix"])} for item in page.get("CommonPrefixes", ())]
    return {**page, "Contents": objects, "CommonPrefixes": folders}


def _last(page: Mapping[str, Any]) -> str:
    keys = [item["Key"] for item in page.get("Contents", ())]
    return max([*keys, *(item["Prefix"] for item in page.get("CommonPrefixes", ()))], default="")


def told(request: Callable[[], T], access: Access) -> T:
    """Do it; an error of boto3's becomes what it means.

    Raises:
        FaultError: It came to nothing.
    """
    try:
        return request()
    except Exception as error:
        if fault := _fault(error, access):
            raise FaultError(fault) from error
        raise


def _fault(error: BaseException, access: Access) -> Fault | None:
    if isinstance(error, FaultError):
        return error.fault
    cause = error.__cause__ or error.__context__
    if type(error).__name__ in ("S3UploadFailedError", "RetriesExceededError") and cause:
        return _fault(cause, access)  # boto3 wraps what went wrong while it moved a file
    if isinstance(error, ClientError):
        said, meta = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
        code, message = str(said.get("Code", "")), str(said.get("Message", ""))
        return fault_of_code(
            code or str(meta.get("HTTPStatusCode", "")),
            message,
            str(error.operation_name),
            meta.get("HTTPHeaders", {}),
            access,
        )
    if isinstance(error, BotoCoreError | HTTPClientError | OSError):
        return fault_of_transport(error, access)
    if type(error).__name__ in ("ResponseParserError", "RetriesExceededError"):
        return fault_of_transport(error, access)
    return None


# --- boto3 -----------------------------------------------------------------------------------


def _client(access: Access, options: Mapping[str, Any]) -> Any:
    _refuse_impossible(access)
    keys = access.keys
    config = Config(
        **options,
        **({} if keys else {"signature_version": UNSIGNED}),
        proxies=proxies_of(access),
        s3={"addressing_style": "virtual" if access.is_virtual else "path"},
        # Stores other than AWS's differ in which checksums they know, and refuse the others.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        client: Any = boto3.Session(botocore_session=_session(access)).client(
            "s3",
            endpoint_url=access.endpoint.rstrip("/"),
            region_name=access.signing_region,
            aws_access_key_id=keys.access_key_id if keys else None,
            aws_secret_access_key=keys.secret_access_key if keys else None,
            aws_session_token=(keys.session_token or None) if keys else None,
            verify=trusted(access.certificate_authority),
            config=config,
        )
    except (ValueError, BotoCoreError) as error:
        raise FaultError(_NO_STORE) from error
    return client


def _session(access: Access) -> botocore.session.Session:
    """One that looks for nothing in the environment, in files or on the network."""
    known = botocore.session.Session.SESSION_VARIABLES
    events = HierarchicalEmitter()
    # Before boto3's own, which makes a 500 of each answer that it cannot read.
    events.register_first("before-parse.s3.*", _reader(access))
    session = botocore.session.Session(
        session_vars={
            name: (None, None, _NOWHERE.get(name, default), convert)
            for name, (_, _, default, convert) in known.items()
        },
        event_hooks=events,
    )
    session.register_component("data_loader", _loader())
    parsers = session.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=timestamp)
    return session


@functools.cache
def _loader() -> Any:
    """Of what boto3 knows of S3, read once: it takes half a second."""
    return create_loader()


def timestamp(value: Any) -> datetime:
    """As botocore's, which spends more on an object's time than on all else of a listing."""
    if isinstance(value, str) and value.endswith("Z"):
        with suppress(ValueError):
            return datetime.fromisoformat(value)
    found: datetime = parse_timestamp(value)
    return found


def _reader(access: Access) -> Callable[..., None]:
    """Looks at each answer before boto3 reads it as one of S3's, or follows where it leads."""

    def read(operation_model: Any, response_dict: Mapping[str, Any], **_: Any) -> None:
        body = response_dict["body"]
        answer = Answer(
            operation_model.name,
            response_dict["status_code"],
            {str(name).lower(): str(value) for name, value in response_dict["headers"].items()},
            body if isinstance(body, bytes) else b"",
        )
        if fault := fault_on_the_way(answer, access):
            raise FaultError(fault)

    return read


def _refuse_impossible(access: Access) -> None:
    """What no client should be made from: it would ask elsewhere, or show a password.

    Raises:
        FaultError: It names what to set.
    """
    if access.proxy and not is_proxy(access.proxy):
        raise FaultError(
            Fault(Kind.SETTING, "ProxyWrong", "cannot be asked by such a proxy",
                  "set proxy to a URL such as http://proxy.example.org:3128, without user or "
                  "password")
        )  # fmt: skip
    meant = without_bucket(access.endpoint, access.bucket)
    if meant and access.is_virtual:
        raise FaultError(
            Fault(Kind.SETTING, "EndpointWrong", "has an endpoint that names the bucket already",
                  f"set endpoint: {meant}")
        )  # fmt: skip


_NO_STORE = Fault(
    Kind.SETTING, "EndpointWrong", "cannot be asked: its endpoint or region is none",
    "set endpoint to a URL such as https://s3.eu-west-1.amazonaws.com, and region to its region's "
    "name",
)  # fmt: skip


def proxies_of(access: Access) -> dict[str, str]:
    """The proxy to take, by scheme; none where nobody names one."""
    scheme = urlsplit(access.endpoint).scheme
    if access.proxy:
        return {scheme: access.proxy}
    found = get_environ_proxies(access.bucket_endpoint)
    named = found.get(scheme) or found.get("all")
    return {scheme: named} if named else {}


@functools.cache
def trusted(certificate_authority: str) -> str:
    """A file of the certificates that are trusted.

    Raises:
        FaultError: The authority's is no certificate.
    """
    usual = _usually_trusted()
    if not certificate_authority:
        return str(usual)
    try:
        if not is_certificate(certificate_authority):
            raise FaultError(_NO_CERTIFICATE)
        ssl.create_default_context(cadata=certificate_authority)
    except ssl.SSLError as error:
        raise FaultError(_NO_CERTIFICATE) from error
    descriptor, name = tempfile.mkstemp(prefix="sihl-trusted-", suffix=".pem")
    with os.fdopen(descriptor, "wb") as file:
        file.write(usual.read_bytes() + b"\n" + certificate_authority.encode())
    return name


def _usually_trusted() -> Path:
    """The machine's own, as obstore takes them, if it has any; else those that come with boto3."""
    known = ssl.get_default_verify_paths().cafile, "/etc/ssl/certs/ca-certificates.crt", where()
    return next(path for path in map(Path, filter(None, known)) if path.is_file())


_NO_CERTIFICATE = Fault(
    Kind.SETTING, "CertificateWrong", "has a certificateAuthority that is no certificate",
    "set it to certificates in PEM (-----BEGIN CERTIFICATE----- ...), whole",
)  # fmt: skip
