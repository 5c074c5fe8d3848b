"""How a bucket is reached: what was written down, and what follows from its endpoint. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field, replace
from typing import Self
from urllib.parse import urlsplit

from sihl_api.dataset import Addressing

DEFAULT_REGION = "us-east-1"
"""What a request is signed for where neither a person nor the endpoint names a region."""

_REGION = re.compile(r"(?:^|[.-])(?:s3|oss)[.-](?:dualstack\.|fips\.)?([a-z]{2}(?:-[a-z]+)+-\d+)\.")
_VIRTUAL = re.compile(r"\.(?:amazonaws\.com(?:\.cn)?|aliyuncs\.com|myqcloud\.com|volces\.com)$")
"""Services that ask for the bucket in the host, or will: of the others, many have no such names."""
_PRIVATE_LINK = re.compile(r"\.vpce\.")


@dataclass(frozen=True)
class Keys:
    """An access key; one that expires has a session token."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


@dataclass(frozen=True)
class WebIdentity:
    """A pod's service account, by whose token keys are lent.

    Args:
        token_file: Of the token, which the kubelet renews. Empty: nobody gave one.
        role_arn: What the account is to be. Empty: the lender knows by the token alone.
        endpoint: URL of the security token service that lends.
        session: What the lender's log calls who asked.
        account: The service account's name, if it is known.
    """

    token_file: str
    role_arn: str
    endpoint: str
    session: str = "sihl"
    account: str = ""

    @property
    def who(self) -> str:
        """Who is to be given rights, for a message."""
        return self.role_arn or "the pod's service account"


@dataclass(frozen=True)
class PodIdentity:
    """A pod's service account, for which an agent of its node has keys (EKS Pod Identity).

    Args:
        endpoint: URL at which the agent hands them out.
        token_file: Of the token that it wants to see, which the kubelet renews.
        account: The service account's name, if it is known.
    """

    endpoint: str
    token_file: str
    account: str = ""

    @property
    def who(self) -> str:
        """Who is to be given rights, for a message."""
        return f"the role that the pod's service account {self.account}".rstrip() + " is"


Identity = WebIdentity | PodIdentity
"""Who is lent keys."""


@dataclass(frozen=True)
class Access:
    """Where a bucket is, as whom it is asked, and which way leads there.

    Args:
        endpoint: URL of the service, without the bucket.
        bucket: Its name.
        keys: Or who is lent some. None asks anonymously.
        region: Empty: the store's own word is taken.
        addressing: None: by the endpoint.
        certificate_authority: PEM, of certificates that are trusted beside the public ones.
        proxy: URL. Empty: what HTTP_PROXY, HTTPS_PROXY and NO_PROXY say.
    """

    endpoint: str
    bucket: str
    keys: Keys | Identity | None = None
    region: str = ""
    addressing: Addressing | None = None
    certificate_authority: str = field(default="", repr=False)
    proxy: str = ""

    @property
    def signing_region(self) -> str:
        """The region that was named, or else that the endpoint names, or else a usual one."""
        return self.region or region_in(self.endpoint) or DEFAULT_REGION

    @property
    def is_virtual(self) -> bool:
        """Whether the bucket stands in the host rather than in the path."""
        if self.addressing is not None:
            return self.addressing is Addressing.VIRTUAL_HOST
        url = urlsplit(self.endpoint)
        host = url.hostname or ""
        # A certificate for *.host fits one more label, and a bucket with dots has several.
        fits = "." not in self.bucket or url.scheme == "http"
        return bool(_VIRTUAL.search(host)) and not _PRIVATE_LINK.search(host) and fits

    @property
    def bucket_endpoint(self) -> str:
        """The URL that the bucket's objects lie below, or below its name."""
        url = urlsplit(self.endpoint.rstrip("/"))
        host = f"{self.bucket}.{url.netloc}" if self.is_virtual else url.netloc
        return f"{url.scheme}://{host}{url.path}"

    def within(self, region: str) -> Self:
        """The same, signed for a region."""
        return replace(self, region=region)


def region_in(endpoint: str) -> str:
    """The region that an endpoint's host names, or nothing."""
    found = _REGION.search(f"{urlsplit(endpoint).hostname or ''}.")
    return found[1] if found else ""


def without_bucket(endpoint: str, bucket: str) -> str | None:
    """The endpoint that is meant by one that has the bucket in its host; None where it has not."""
    url = urlsplit(endpoint)
    rest = url.netloc.removeprefix(f"{bucket}.")
    return None if rest == url.netloc or is_address(rest) else f"{url.scheme}://{rest}"


def is_address(host: str) -> bool:
    """Whether a host is an IP address rather than a name."""
    try:
        ipaddress.ip_address(host.partition(":")[0])
    except ValueError:
        return False
    return True


def is_certificate(text: str) -> bool:
    """Whether a text looks like certificates in PEM."""
    return "-----BEGIN CERTIFICATE-----" in text and "-----END CERTIFICATE-----" in text


def is_service(url: str) -> bool:
    """Whether a URL can be a store's or proxy's; one with a password cannot: it would be shown."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is none
    except ValueError:
        return False
    more = parts.query or parts.fragment or "@" in url
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not more
