"""As whom a pod asks by its service account's token: who lends it keys, and who does not. Pure.

The security token service (STS) is AWS's own, or that of a store which has one (MinIO, Ceph,
SeaweedFS): it trusts the cluster's issuer of tokens, and lends keys to those that it lets be a
role. Or an agent on the pod's node (EKS Pod Identity) hands out the keys of the role that is
associated with the service account. Nothing here is looked at for a place that does not say that
it is asked so.
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
from sihl_s3.access import DEFAULT_REGION, Identity, PodIdentity, WebIdentity, region_in
from sihl_s3.answers import Fault, Kind

TOKEN_VARIABLE = "AWS_WEB_IDENTITY_TOKEN_FILE"  # noqa: S105 (a variable's name)
ROLE_VARIABLE = "AWS_ROLE_ARN"
AGENT_VARIABLE = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
AGENT_TOKEN_VARIABLE = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"  # noqa: S105 (a variable's name)
IDENTITY_VARIABLES = (
    TOKEN_VARIABLE, ROLE_VARIABLE, AGENT_VARIABLE, AGENT_TOKEN_VARIABLE,
    Env.STORE_IDENTITY, Env.POD_NAME, Env.SERVICE_ACCOUNT,
)  # fmt: skip
"""What a cloud's webhooks (EKS' two) give the pods of a service account that has a role, and what
is given to ours beside."""

_AWS = re.compile(r"\.amazonaws\.com(?:\.cn)?$")
_NO_TRUST = {"AccessDenied", "AccessDeniedException", "403", "401"}
_NO_TOKEN = {"InvalidIdentityToken", "IDPRejectedClaim", "InvalidParameterValue"}
_SOON = {"IDPCommunicationError", "Throttling", "ThrottlingException", "RequestLimitExceeded"}


def identity_of(
    endpoint: str, region: str, said: Mapping[str, str], token_file: str, environ: Mapping[str, str]
) -> Identity:
    """As whom a place is asked that says `serviceAccount`.

    What the place itself says counts first, then a web identity, then a node's agent: the order of
    AWS's own tools, so that an account may be moved from the one to the other.

    Args:
        endpoint: Of the place.
        region: That it names; may be empty.
        said: What it says beside: roleArn, stsEndpoint; either may be left out.
        token_file: Of the token that the operator has put into the pod; may be empty.
        environ: What a webhook of the cloud may have put there instead.
    """
    account, agent = environ.get(Env.SERVICE_ACCOUNT, ""), environ.get(AGENT_VARIABLE, "")
    by_token = said.get("roleArn") or said.get("stsEndpoint") or token_file
    if agent and not by_token and not environ.get(TOKEN_VARIABLE):
        return PodIdentity(agent, environ.get(AGENT_TOKEN_VARIABLE, ""), account)
    name = re.sub(r"[^\w+=,.@-]", "-", environ.get(Env.POD_NAME, ""), flags=re.ASCII)[:64]
    return WebIdentity(
        token_file or environ.get(TOKEN_VARIABLE, ""),
        said.get("roleArn") or environ.get(ROLE_VARIABLE, ""),
        said.get("stsEndpoint") or sts_of(endpoint, region),
        name if len(name) > 1 else "sihl",
        account,
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


def fault_of_no_token(identity: Identity) -> Fault:
    """Nobody has given the pod a token, or it is not where it should be."""
    what = f"no file {identity.token_file}" if identity.token_file else _MISSING[type(identity)]
    account = f"service account {identity.account}".rstrip()
    return Fault(Kind.OBSTRUCTED, "IdentityMissing",
                 f"was not asked, since this pod has no token of its {account} ({what}),",
                 "have whoever runs the cluster give it a role (on EKS by the annotation "
                 "eks.amazonaws.com/role-arn, or a Pod Identity association: their webhook acts "
                 "when a pod is made, as the next attempt's is), name one that has a role in "
                 "runner.serviceAccountName, or give roleArn beside serviceAccount",
                 at_once=True)  # fmt: skip


_MISSING: Mapping[type, str] = {
    WebIdentity: f"neither {TOKEN_VARIABLE} nor {AGENT_VARIABLE}",
    PodIdentity: f"no {AGENT_TOKEN_VARIABLE}",
}


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
    said = _without(token, message)
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


def fault_of_agent(status: int | None, message: str, identity: PodIdentity, token: str) -> Fault:
    """The node's agent hands out no keys: who has to do what.

    Args:
        status: Of its answer; None where there was none.
        message: The answer, or what went wrong on the way.
        identity: As whom it was asked.
        token: With which.
    """
    detail = f"{status}: {_without(token, message)}" if status else _without(token, message)
    if status is None:
        return Fault(Kind.AWAY, "Unavailable",
                     f"was not asked, since the agent at {identity.endpoint}, which has the keys, "
                     "did not answer,",
                     "it is asked again; whoever runs the cluster can see whether "
                     "eks-pod-identity-agent runs on the pod's node, and whether a network policy "
                     "lets the pod reach it", detail)  # fmt: skip
    if status == 429 or status >= 500:
        return Fault(Kind.AWAY, "Unavailable",
                     f"was not asked, since the agent at {identity.endpoint} has no keys now,",
                     "it is asked again", detail)  # fmt: skip
    who = str(claims_of(token).get("sub", "the pod's service account"))
    return Fault(Kind.OBSTRUCTED, "IdentityRefused",
                 f"was not asked, since the agent at {identity.endpoint} has no keys for {who},",
                 f"whoever runs the cluster can see whether a Pod Identity association gives {who} "
                 "a role, whether that role's trust policy lets pods.eks.amazonaws.com assume it, "
                 "and whether the node may ask for it (eks-auth:AssumeRoleForPodIdentity)",
                 detail, at_once=True)  # fmt: skip


def _without(token: str, message: str) -> str:
    """A message on one line, without the token that it may repeat."""
    line = " ".join(message.split())
    return shortened(line.replace(token, "...") if token else line, 300)


def fault_of_way(fault: Fault, identity: WebIdentity) -> Fault:
    """The STS was not reached, in the words that a store is told with."""
    told = f"was not asked, since {identity.endpoint}, which lends the keys, {fault.told}"
    told = told if told.endswith(",") else f"{told},"
    if fault.kind is Kind.AWAY:
        return Fault(Kind.AWAY, fault.name, told, fault.remedy, fault.detail)
    return Fault(Kind.OBSTRUCTED, f"Identity{fault.name}", told, fault.remedy, fault.detail,
                 at_once=fault.at_once)  # fmt: skip
