"""What it means that a request got no answer: names, connections, certificates, proxies. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from sihl_api.text import shortened
from sihl_s3.access import Access
from sihl_s3.answers import Fault, Kind

_LONGEST = 300
_OF_TLS = ("\\x15\\x03", "\\x16\\x03")
"""How what TLS sends begins, an alert or a greeting, in Python's spelling."""


def fault_of_transport(error: BaseException, access: Access) -> Fault:
    """Of an exception of botocore's that no answer of the store's is in."""
    cause = cause_of(error)
    kind = type(error).__name__
    secure = urlsplit(access.endpoint).scheme == "https"
    if kind == "ParamValidationError":
        return Fault(Kind.SETTING, "BucketNotFound", "cannot be asked: no bucket has such a name",
                     "correct bucket", cause)  # fmt: skip
    if kind == "ProxyConnectionError" or "tunnel connection failed" in cause.lower():
        return _proxy(cause, access)
    if kind == "SSLError" or "CERTIFICATE_VERIFY_FAILED" in cause or "[SSL" in cause:
        return _certificate(cause, access)
    if re.search(r"(?i)failed to resolve|getaddrinfo|name or service not known|\bdns\b", cause):
        return _unresolved(cause, access)
    remedy = "check that the endpoint is right and can be reached from here"
    if found := re.search(r"BadStatusLine\(.(.*).\)", cause):
        return _no_http(found[1], access)
    if "reset" in cause.lower() and not secure:
        remedy += ", and whether it speaks https"
    return Fault(Kind.AWAY, "Unavailable", "did not answer", remedy, cause)


def fault_of_reading(error: Exception) -> Fault:
    """Of an exception that boto3 met in an answer: a part is missing, or is no number."""
    cause = shortened(f"{type(error).__name__}: {' '.join(str(error).split())}", _LONGEST)
    return Fault(Kind.AWAY, "Unavailable", "answered what cannot be read",
                 "check that the endpoint is an S3 service's, and that it is well",
                 cause)  # fmt: skip


def _no_http(line: str, access: Access) -> Fault:
    """Of a first line, as Python writes it, that is none of HTTP's."""
    if line.startswith(_OF_TLS):
        secure = f"https://{urlsplit(access.endpoint).netloc}"
        return Fault(Kind.SETTING, "EndpointWrong", "speaks https only",
                     f"set endpoint: {secure}")  # fmt: skip
    return Fault(Kind.AWAY, "Unavailable", f"answered in no HTTP ('{shortened(line, 80)}')",
                 "check that the endpoint has the S3 service's own port")  # fmt: skip


def cause_of(error: BaseException) -> str:
    """What was at the bottom of an error, on one line; the end of it is never left out."""
    inner = getattr(error, "kwargs", {}).get("error")
    text = str(inner if inner is not None else error)
    # urllib3 tells the object's address first, and the reason last.
    text = re.sub(r"<[\w.]+ object at 0x[0-9a-f]+>:? ?|\w+\(host='[^']*', port=\w+\):? ?", "", text)
    return shortened(" ".join(text.split()) or type(error).__name__, _LONGEST)


def _proxy(cause: str, access: Access) -> Fault:
    way = f"proxy {access.proxy}" if access.proxy else "the proxy that HTTPS_PROXY names"
    status = "".join(re.findall(r"(?i)tunnel connection failed: (\d+)", cause)[:1])
    if status.startswith("4"):
        wants = "wants to know who asks" if status == "407" else "lets nobody through to it"
        return Fault(Kind.OBSTRUCTED, "ProxyRefused", f"was not reached, since {way} {wants},",
                     "have the endpoint allowed there, or correct proxy", cause,
                     at_once=True)  # fmt: skip
    return Fault(Kind.AWAY, "Unavailable", f"was not reached by {way}",
                 "check that the proxy is right and can be reached from here", cause)  # fmt: skip


def _certificate(cause: str, access: Access) -> Fault:
    if re.search(r"(?i)wrong.version|packet length|record layer|http.request", cause):
        plain = f"http://{urlsplit(access.endpoint).netloc}"
        return Fault(Kind.SETTING, "EndpointWrong", "speaks no https",
                     f"set endpoint: {plain}", cause)  # fmt: skip
    if re.search(r"(?i)mismatch|doesn't match|not valid for", cause):
        hint = ", or addressing: Path" if access.is_virtual else ""
        return Fault(Kind.SETTING, "CertificateWrong", "showed a certificate for another name",
                     f"set endpoint to a name that its certificate has{hint}", cause)  # fmt: skip
    if re.search(r"(?i)expired|not yet valid", cause):
        return Fault(Kind.OBSTRUCTED, "CertificateExpired",
                     "showed a certificate that is not valid now, by this node's clock,",
                     "have it renewed, or the clock set", cause, at_once=True)  # fmt: skip
    if "CERTIFICATE_VERIFY_FAILED" in cause:
        given = bool(access.certificate_authority)
        return Fault(Kind.SETTING, "CertificateUntrusted",
                     "showed a certificate of an authority that is not trusted here",
                     "set certificateAuthority to that authority's own certificate (PEM)"
                     + (": the one that it holds is another's" if given else ""),
                     cause)  # fmt: skip
    return Fault(Kind.AWAY, "Unavailable", "did not agree on an encrypted connection",
                 "check that the endpoint is right", cause)  # fmt: skip


def _unresolved(cause: str, access: Access) -> Fault:
    host = urlsplit(access.bucket_endpoint).hostname
    # "Temporary failure" is a name server's trouble; that there is no such name is its answer.
    temporary = bool(re.search(r"(?i)temporary|try again|errno -3", cause))
    hint = ", set addressing: Path" if access.is_virtual else ""
    return Fault(Kind.AWAY, "Unavailable", "did not answer",
                 f"{host} does not resolve: correct the endpoint{hint}, or have the cluster's DNS "
                 "know it", cause, at_once=not temporary)  # fmt: skip
