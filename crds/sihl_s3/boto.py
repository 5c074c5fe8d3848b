"""Clients of boto3's that ask what they are told to, and nothing of their environment."""

from __future__ import annotations

import functools
import os
import ssl
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import CredentialResolver
from botocore.exceptions import BotoCoreError
from botocore.hooks import HierarchicalEmitter
from botocore.httpsession import where
from botocore.loaders import create_loader
from botocore.utils import get_environ_proxies, parse_timestamp

from sihl_s3.access import Access, Keys, is_certificate, is_service, without_bucket
from sihl_s3.answers import Answer, Fault, FaultError, Kind, fault_on_the_way

_NEVER = datetime.fromtimestamp(0, UTC)
_NOWHERE = {"config_file": "/dev/null", "credentials_file": "/dev/null"}


def new_client(
    access: Access, options: Mapping[str, Any], lent: CredentialResolver | None = None
) -> Any:
    """One for a bucket.

    Args:
        access: Which way leads to it.
        options: Of botocore's Config, beside those that follow from it.
        lent: Who has the keys where `access` names who is lent some.

    Raises:
        FaultError: Something of it can be no store's.
    """
    _refuse_impossible(access)
    keys = access.keys if isinstance(access.keys, Keys) else None
    session = _session(access)
    if lent is not None:
        session.register_component("credential_provider", lent)
    config = Config(
        **options,
        **({} if access.keys else {"signature_version": UNSIGNED}),
        proxies=proxies_of(access),
        s3={"addressing_style": "virtual" if access.is_virtual else "path"},
        # Stores other than AWS's differ in which checksums they know, and refuse the others.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        client: Any = boto3.Session(botocore_session=session).client(
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
    """One for a bucket."""
    events = HierarchicalEmitter()
    # Before boto3's own, which makes a 500 of each answer that it cannot read.
    events.register_first("before-parse.s3.*", _reader(access))
    session = quiet_session(events)
    parsers = session.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=timestamp)
    return session


def quiet_session(events: HierarchicalEmitter | None = None) -> botocore.session.Session:
    """One that looks for nothing in the environment, in files or on the network."""
    known = botocore.session.Session.SESSION_VARIABLES
    session = botocore.session.Session(
        session_vars={
            name: (None, None, _NOWHERE.get(name, default), convert)
            for name, (_, _, default, convert) in known.items()
        },
        event_hooks=events,
    )
    session.register_component("data_loader", _loader())
    return session


@functools.cache
def _loader() -> Any:
    """Of what boto3 knows of S3, read once: it takes half a second."""
    return create_loader()


def timestamp(value: Any) -> datetime:
    """As botocore's, which spends more on an object's time than on all else of a listing.

    What is no time is the first that there is.
    """
    if isinstance(value, str) and value.endswith("Z"):
        with suppress(ValueError):
            return datetime.fromisoformat(value)
    with suppress(ValueError):
        found: datetime = parse_timestamp(value)
        return found
    return _NEVER  # what a store writes there is asked by nobody but to tell files apart


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
    if not is_service(access.endpoint):
        raise FaultError(_NO_STORE)
    if access.proxy and not is_service(access.proxy):
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
