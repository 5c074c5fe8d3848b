"""What a store's answers mean, and those that come from something that is no store. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from urllib.parse import urlsplit

from sihl_api.units import human_seconds
from sihl_s3.access import Access, region_in, without_bucket


class Kind(Enum):
    """Who can do what about it."""

    MISSING = auto()  # there is no such object
    UNCHANGED = auto()  # it is the one that the reader has
    DENIED = auto()  # the keys, or what they may do
    NO_BUCKET = auto()
    SETTING = auto()  # what was written down of the store: endpoint, region, addressing, ...
    OBJECT = auto()  # the object is kept in a way in which it cannot be read
    OBSTRUCTED = auto()  # a clock, a proxy, a quota: the platform's people
    AWAY = auto()  # another try may succeed


@dataclass(frozen=True)
class Fault:
    """What is wrong, in words that follow the store's name.

    Args:
        kind: Who can do what about it.
        name: CamelCase, without whose it is: RegionWrong.
        told: "redirects to https://s3.example.org".
        remedy: What to do; empty where who asked knows better.
        detail: The store's code, or the cause.
        region: Which the store names as the bucket's.
        at_once: Whether it is of no use to ask again within minutes.
    """

    kind: Kind
    name: str
    told: str
    remedy: str = ""
    detail: str = ""
    region: str = ""
    at_once: bool = False

    def when(self, what: str) -> str:
        """With what was asked for ("list images/"), if anything was, and the code or the cause."""
        comma = "," if ", " in self.told and not self.told.endswith(",") else ""
        asked = f"{comma} when asked to {what}" if what else ""
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.told}{asked}{detail}"


class FaultError(Exception):
    """A request came to nothing."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault

    def __str__(self) -> str:
        return f"{self.fault.told}: {self.fault.remedy}"


@dataclass(frozen=True)
class Answer:
    """A response as it came over the wire.

    Args:
        operation: ListObjectsV2, GetObject, ...
        headers: By their names in small letters.
        body: Empty where it is yet to be read.
    """

    operation: str
    status: int
    headers: Mapping[str, str]
    body: bytes


_BUSY = {408, 425, 429, 500, 502, 503, 504}
_DENIED = {
    "401", "403", "AccessDenied", "AccountProblem", "AllAccessDisabled",
    "AuthorizationHeaderMalformed", "AuthorizationQueryParametersError", "ExpiredToken",
    "Forbidden", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidSecurity", "InvalidToken",
    "NotSignedUp", "SignatureDoesNotMatch", "TokenRefreshRequired", "Unauthorized",
    "UnauthorizedAccess", "UserSuspended",
}  # fmt: skip
_EXPIRED = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired"}
_DISABLED = {"AccountProblem", "AllAccessDisabled", "NotSignedUp", "UserSuspended"}
_NO_PATHS = {"InvalidPathAccess", "PathStyleDomainForbidden", "SecondLevelDomainForbidden"}
_NO_HOSTS = {"VirtualHostDomainRequired"}
_FULL = re.compile(
    r"(?i)507|.*quota.*exceeded|insufficient(capacity|storage)|.*storage(limitexceeded|full)"
)
_FULL_IN_WORDS = re.compile(r"(?i)(quota|cap|storage limit)( has been| is)? (exceeded|reached)")
_WRITES = {"PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"}
_MAYBE_FULL = (
    "check that the store is well, and has room left: some answer so where their disk is full or a "
    "bucket's quota is reached (SeaweedFS)"
)
_TOO_LARGE = {"413", "EntityTooLarge", "RequestEntityTooLarge"}
_RAISE_LIMIT = "have its limit raised to 64 MiB or more (nginx: client_max_body_size)"
_ELSEWHERE = {"PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException"}


def fault_on_the_way(answer: Answer, access: Access) -> Fault | None:
    """Of an answer that no S3 service gives, or that says where the bucket is.

    S3's clients read such answers as something else, or follow them elsewhere.
    """
    text = answer.body[:20_000].decode(errors="replace").strip().lstrip("\ufeff")
    is_s3 = bool(re.search("<Error|<ListBucketResult", text[:2000])) and not _is_page(text)
    if fault := _elsewhere(answer, text if is_s3 else "", access):
        return fault
    if 300 <= answer.status < 400 and answer.status != 304:
        return _redirect(answer, text if is_s3 else "", access)
    if _is_page(text) or (text and not is_s3 and answer.status >= 400):
        return _page(answer, text, access)
    if answer.operation.startswith("ListObjects") and answer.status < 300 and not is_s3:
        return _not_s3(
            f"answered a listing with {_quoted(text) or 'nothing'}, as no S3 service does"
        )
    return None


def fault_of_code(
    code: str, message: str, operation: str, headers: Mapping[str, str], access: Access
) -> Fault:
    """Of an error that the store tells by its code.

    Args:
        code: The store's, or the status as text where it told none.
        message: The store's.
        operation: Which was asked for.
        headers: Of the answer.
        access: How the store was asked.
    """
    if code in ("304", "NotModified"):
        return Fault(Kind.UNCHANGED, "Unchanged", "has nothing new")
    lists = operation.startswith("List") or operation == "HeadBucket"
    if code in ("NoSuchBucket", "404", "NotFound", "NoSuchKey"):
        return _missing(code, lists, access)
    if code in ("RequestTimeTooSkewed", "RequestExpired"):
        return _skewed(code, headers)
    if code in _NO_PATHS or code in _NO_HOSTS:
        other = "VirtualHost" if code in _NO_PATHS else "Path"
        return Fault(Kind.SETTING, "AddressingWrong", "refuses how it was addressed",
                     f"set addressing: {other}", code)  # fmt: skip
    if "must be made to API port" in message:  # MinIO's console
        return _not_s3(f"answered that it is not the S3 service ({message})")
    if _FULL.fullmatch(code) or _FULL_IN_WORDS.search(message):
        return Fault(Kind.OBSTRUCTED, "Full", "has no room left",
                     "free some, or have its quota raised", code)  # fmt: skip
    if code in _DENIED:
        return Fault(Kind.DENIED, "AccessDenied", "refused", _remedy(code, message), code)
    if fault := _unreadable(code, message) or _unwritable(code, message):
        return fault
    if code in ("501", "NotImplemented", "MethodNotAllowed"):
        return Fault(Kind.SETTING, "Unsupported", "does not know what it was asked",
                     "correct the endpoint, or take a store that knows ListObjectsV2 and reads "
                     "ranges", code)  # fmt: skip
    if code in ("InvalidBucketName", "InvalidURI"):
        return Fault(Kind.SETTING, "BucketNotFound", "has no bucket of such a name",
                     "correct bucket", code)  # fmt: skip
    words = f" ({message})" if message and message != "None" else ""
    told = f"answered {code or 'an error without a code'}{words}"
    remedy = _MAYBE_FULL if code in ("500", "InternalError") and operation in _WRITES else ""
    return Fault(Kind.AWAY, "Unavailable", told, remedy)


def _missing(code: str, lists: bool, access: Access) -> Fault:
    if not lists and code != "NoSuchBucket":
        return Fault(Kind.MISSING, "ObjectMissing", "has no such object", detail=code)
    if code == "NoSuchKey" or without_bucket(access.endpoint, access.bucket):
        meant = without_bucket(access.endpoint, access.bucket)
        remedy = f"set endpoint: {meant}" if meant else "write the endpoint without a bucket"
        return Fault(Kind.SETTING, "EndpointWrong",
                     "took the bucket for an object, as where the endpoint's host names a bucket "
                     "already", remedy, code)  # fmt: skip
    return Fault(Kind.NO_BUCKET, "BucketNotFound", "has no such bucket", detail=code)


def _remedy(code: str, message: str) -> str:
    """What to do about keys that are refused, where that is not to correct them."""
    if code in _EXPIRED:
        return "put keys that have not expired in their place, with the sessionToken that is theirs"
    if code in _DISABLED:
        return "have the account that the keys belong to put in order, or take others"
    if "kms:" in message:
        return "grant these keys kms:Decrypt of the key that the bucket is encrypted with"
    action = re.search(r"not authorized to perform:? ([a-z0-9]+:\w+)", message)
    return f"grant these keys {action[1]}" if action else ""


def _skewed(code: str, headers: Mapping[str, str]) -> Fault:
    told = "refused since this node's clock is wrong"
    try:
        ahead = time.time() - parsedate_to_datetime(headers["date"]).timestamp()
        if abs(ahead) >= 60:
            way = "ahead of" if ahead > 0 else "behind"
            told += f", {human_seconds(abs(ahead))} {way} the store's"
    except (KeyError, ValueError):
        pass  # it tells no time of its own
    return Fault(Kind.OBSTRUCTED, "ClockSkewed", told,
                 "have the node's clock set (chrony, NTP), or the store's", code,
                 at_once=True)  # fmt: skip


def _unreadable(code: str, message: str) -> Fault | None:
    """Of an object that is there and cannot be read."""
    if code == "InvalidObjectState":
        return Fault(Kind.OBJECT, "ObjectArchived", "answered that it is archived",
                     "restore it, or copy it to a storage class that can be read at once",
                     code)  # fmt: skip
    if code == "SSEEncryptedObject" or (
        "Server Side Encryption" in message
        and ("correct parameters" in message or "customer" in message.lower())
    ):
        return Fault(Kind.OBJECT, "ObjectEncrypted",
                     "answered that it is encrypted with a key of the client's own (SSE-C)",
                     "copy it without: keys of the bucket's (SSE-S3, SSE-KMS) can be read",
                     code)  # fmt: skip
    if code.startswith("KMS."):
        return Fault(Kind.DENIED, "AccessDenied", "refused",
                     "have the key that the bucket is encrypted with enabled, and kms:Decrypt of "
                     "it granted", code)  # fmt: skip
    return None


def _unwritable(code: str, message: str) -> Fault | None:
    """Of an object that is not taken."""
    if code in _TOO_LARGE:
        return Fault(Kind.OBSTRUCTED, "ProxyRefused",
                     "answered, or what stands before it, that it takes no requests of this size",
                     _RAISE_LIMIT, code)  # fmt: skip
    if "Object Lock" in message and "Content-MD5" in message:
        return Fault(Kind.SETTING, "Unsupported",
                     "asks for checksums, as a bucket does that holds its objects fast for some "
                     "time (object lock)", "take one without such a retention", code)  # fmt: skip
    return None


# --- where the bucket is ---------------------------------------------------------------------


def _elsewhere(answer: Answer, xml: str, access: Access) -> Fault | None:
    """Where a store says that the bucket is in another region, or at another endpoint."""
    code = _element(xml, "Code")
    endpoint = _element(xml, "Endpoint")
    if code not in _ELSEWHERE and "specified endpoint" not in xml:
        endpoint = ""
    region = answer.headers.get("x-amz-bucket-region") or _element(xml, "Region")
    if code == "AuthorizationHeaderMalformed" and not region:
        region = "".join(re.findall(r"expecting (?:'|&#39;|&apos;)([-\w]+)", xml)[:1])
    region = region or (region_in(f"https://{endpoint}") if endpoint else "")
    is_about_it = code in (*_ELSEWHERE, "AuthorizationHeaderMalformed", "InvalidRegionName") or (
        answer.operation.startswith("Head") and answer.status in (301, 400)
    )
    if answer.status < 300 or not (endpoint or (region and is_about_it)):
        return None
    host = endpoint.removeprefix(f"{access.bucket}.")
    told = f"answered that it is {f'in region {region}' if region else f'at {host}'}"
    if region not in ("", access.signing_region):
        told += f" and not in {access.signing_region}"
    remedies = [f"region: {region}"] if region else []
    if endpoint:
        to = urlsplit(answer.headers.get("location", "")).scheme
        remedies.insert(0, f"endpoint: {to or urlsplit(access.endpoint).scheme}://{host}")
    return Fault(Kind.SETTING, "RegionWrong" if region else "EndpointWrong", told,
                 f"set {' and '.join(remedies)}", code or str(answer.status),
                 region=region)  # fmt: skip


def _redirect(answer: Answer, xml: str, access: Access) -> Fault:
    """To https, to another host, or to a page of the same."""
    to = urlsplit(answer.headers.get("location", ""))
    host = to.netloc or _element(xml, "Endpoint")
    host = host.removeprefix(f"{access.bucket}.")
    asked = urlsplit(access.endpoint)
    origin = f"{to.scheme or asked.scheme}://{host}"
    if not host or origin == f"{asked.scheme}://{asked.netloc}":
        where = f" to {_quoted(to.path)}" if to.path else ""
        return _not_s3(f"redirects{where}, as a console or a log-in does", answer.status)
    return Fault(Kind.SETTING, "EndpointWrong", f"redirects to {origin}",
                 f"set endpoint: {origin}", str(answer.status))  # fmt: skip


# --- what is no store ------------------------------------------------------------------------


def _page(answer: Answer, text: str, access: Access) -> Fault:
    """A web page, or plain words, where XML is due."""
    title = _quoted(_title(text) if _is_page(text) else text)
    what = "a web page" if _is_page(text) else "words"
    if re.search(r"(?i)http request to an https|plain http request", text):
        secure = f"https://{urlsplit(access.endpoint).netloc}"
        return Fault(Kind.SETTING, "EndpointWrong", "speaks https only",
                     f"set endpoint: {secure}", str(answer.status))  # fmt: skip
    shown = f"answered {answer.status} with {what}{f' ({title})' if title else ''}"
    if answer.status in _BUSY or answer.status >= 520:  # the latter are Cloudflare's
        return Fault(Kind.AWAY, "Unavailable",
                     f"{shown}, as a proxy or load balancer does whose store is away")  # fmt: skip
    if answer.status == 413:
        return Fault(Kind.OBSTRUCTED, "ProxyRefused",
                     f"{shown}, as a proxy does that takes no requests of this size",
                     _RAISE_LIMIT)  # fmt: skip
    if answer.status in (401, 403, 407, 451, 511):
        return Fault(Kind.OBSTRUCTED, "ProxyRefused",
                     f"{shown}, as a proxy does that lets nobody through",
                     "have the endpoint allowed there, or name the proxy to take as proxy",
                     at_once=True)  # fmt: skip
    return _not_s3(f"{shown}, as no S3 service does")


def _not_s3(told: str, status: int | None = None) -> Fault:
    return Fault(Kind.SETTING, "EndpointWrong", told,
                 "set endpoint to the S3 service's own host and port, not to a console's "
                 "(MinIO: port 9000) or a web server's", str(status or ""))  # fmt: skip


def _is_page(text: str) -> bool:
    start = re.sub(r"(?s)^(?:<\?xml.*?\?>|<!--.*?-->|\s)*", "", text[:2000]).lower()
    return start.startswith(("<!doctype html", "<html", "<head", "<body"))


def _title(text: str) -> str:
    for tag in ("title", "h1", "body"):
        if found := re.search(rf"(?is)<{tag}\b[^>]*>(.*?)</{tag}>", text):
            return re.sub(r"<[^>]*>", " ", found[1])
    return ""


def _quoted(text: str) -> str:
    """A foreign text, short and on one line."""
    words = " ".join(text.split())
    return repr(words if len(words) <= 100 else f"{words[:97]}...") if words else ""


def _element(xml: str, name: str) -> str:
    found = re.search(rf"<{name}>([^<]*)</{name}>", xml)
    return found[1].strip() if found else ""
