"""As whom a pod asks by its service account's token: who lends it keys, and who does not. Pure.

The security token service (STS) is AWS's own, or that of a store which has one (MinIO, Ceph,
SeaweedFS): it trusts the cluster's issuer of tokens, and lends keys to those that it lets be a
role. Nothing here is looked at for a place that does not say that it is asked so.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from sihl_api.runtime import Env
from sihl_api.text import shortened
from sihl_s3.access import DEFAULT_REGION, WebIdentity, region_in
from sihl_s3.answers import Fault, Kind

TOKEN_VARIABLE = "AWS_WEB_IDENTITY_TOKEN_FILE"  # noqa: S105 (a variable's name)
ROLE_VARIABLE = "AWS_ROLE_ARN"
IDENTITY_VARIABLES = (TOKEN_VARIABLE, ROLE_VARIABLE, Env.STORE_IDENTITY, Env.POD_NAME)
"""What a cloud's webhook (EKS') gives the pods of a service account that has a role, and what is
given to ours beside."""

_AWS = re.compile(r"\.amazonaws\.com(?:\.cn)?$")
_NO_TRUST = {"AccessDenied", "AccessDeniedException", "403", "401"}
_NO_TOKEN = {"InvalidIdentityToken", "IDPRejectedClaim", "InvalidParameterValue"}
_SOON = {"IDPCommunicationError", "Throttling", "ThrottlingException", "RequestLimitExceeded"}


def web_identity(
    endpoint: str, region: str, said: Mapping[str, str], token_file: str, environ: Mapping[str, str]
) -> WebIdentity:
    """As whom a place is asked that says `serviceAccount`.

    Args:
        endpoint: Of the place.
        region: That it names; may be empty.
        said: What it says beside: roleArn, stsEndpoint; either may be left out.
        token_file: Of the token that the operator has put into the pod; may be empty.
        environ: What a webhook of the cloud may have put there instead.
    """
    name = re.sub(r"[^\w+=,.@-]", "-", environ.get(Env.POD_NAME, ""), flags=re.ASCII)[:64]
    return WebIdentity(
        token_file or environ.get(TOKEN_VARIABLE, ""),
        said.get("roleArn") or environ.get(ROLE_VARIABLE, ""),
        said.get("stsEndpoint") or sts_of(endpoint, region),
        name if len(name) > 1 else "sihl",
    )


def sts_of(endpoint: str, region: str) -> str:
    """Who lends a store's keys where nobody says it: AWS's of the region, else the store itself."""
    host = urlsplit(endpoint).hostname or ""
    found = _AWS.search(host)
    if not found:
        return endpoint.rstrip("/")
    return f"https://sts.{region or region_in(endpoint) or DEFAULT_REGION}{found[0]}"


def claims_of(token: str) -> Mapping[str, Any]:
    """What a token says of itself, to be told and not to be trusted; empty where it is none."""
    try:
        part = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def fault_of_no_token(identity: WebIdentity) -> Fault:
    """Nobody has given the pod a token, or it is not where it should be."""
    what = f"no file {identity.token_file}" if identity.token_file else f"no {TOKEN_VARIABLE}"
    return Fault(Kind.OBSTRUCTED, "IdentityMissing",
                 f"was not asked, since this pod has no token of its service account ({what}),",
                 "name in runner.serviceAccountName one that has a role (on EKS by the annotation "
                 "eks.amazonaws.com/role-arn, which its webhook acts upon when a pod is made), or "
                 "give roleArn beside serviceAccount", at_once=True)  # fmt: skip


def fault_of_sts(code: str, message: str, identity: WebIdentity, token: str) -> Fault:
    """The STS lends no keys: who has to do what.

    Args:
        code: The service's.
        message: The service's.
        identity: As whom it was asked.
        token: With which; its claims are told, and it is not.
    """
    claims = claims_of(token)
    who, issuer = str(claims.get("sub", "the pod's service account")), claims.get("iss", "?")
    said = shortened(" ".join(message.split()).replace(token, "..."), 300) if token else message
    detail = f"{code}: {said}" if said else code
    role = identity.role_arn or "a role of its own"
    told = f"was not asked, since {identity.endpoint} does not let {who} be {role},"
    if code in _SOON or re.fullmatch(r"5\d\d|InternalFailure|ServiceUnavailable", code):
        return Fault(Kind.AWAY, "Unavailable",
                     f"was not asked, since {identity.endpoint} lends no keys now,",
                     "it is asked again", detail)  # fmt: skip
    if code in _NO_TRUST:
        remedy = f"whoever runs that account can name {who} and the issuer {issuer} in the role's "
        remedy += "trust policy, or the role is another's: correct roleArn, or the service "
        remedy += "account's annotation"
    elif code in _NO_TOKEN:
        audience = claims.get("aud", "?")
        shown = ", ".join(map(str, audience)) if isinstance(audience, list) else audience
        remedy = f"whoever runs that account can register the issuer {issuer} there as an OpenID "
        remedy += f"Connect provider for the audience {shown}; or give the audience that it has"
    elif code in ("ExpiredTokenException", "ExpiredToken"):
        remedy = "have the node's clock set, and look at its kubelet, which renews the token"
    elif code == "RegionDisabledException":
        remedy = "have STS enabled in that region, or give another's stsEndpoint"
    else:
        remedy = "correct roleArn and stsEndpoint, or the service account's annotation"
    return Fault(Kind.OBSTRUCTED, "IdentityRefused", told, remedy, detail, at_once=True)


def fault_of_way(fault: Fault, identity: WebIdentity) -> Fault:
    """The STS was not reached, in the words that a store is told with."""
    told = f"was not asked, since {identity.endpoint}, which lends the keys, {fault.told}"
    told = told if told.endswith(",") else f"{told},"
    if fault.kind is Kind.AWAY:
        return Fault(Kind.AWAY, fault.name, told, fault.remedy, fault.detail)
    return Fault(Kind.OBSTRUCTED, f"Identity{fault.name}", told, fault.remedy, fault.detail,
                 at_once=fault.at_once)  # fmt: skip
