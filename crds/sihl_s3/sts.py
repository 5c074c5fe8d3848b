"""Keys that a security token service lends for a token, asked for once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.parsers import ResponseParserError

from sihl_s3.access import DEFAULT_REGION, Access, Identity, Keys, WebIdentity, region_in
from sihl_s3.answers import FaultError
from sihl_s3.boto import proxies_of, quiet_session, trusted
from sihl_s3.identity import fault_of_no_token, fault_of_sts, fault_of_way
from sihl_s3.transport import fault_of_transport


def keys_of_sts(identity: WebIdentity, access: Access) -> tuple[Keys, float | None]:
    """Keys, and for how many seconds they last; None where the service does not say it.

    Args:
        identity: Whose token it is, and who lends for it.
        access: Of the bucket that they are for: its authority and proxy count here too.

    Raises:
        FaultError: None are lent.
    """
    way = replace(access, endpoint=identity.endpoint, bucket="", keys=None)
    token = token_of(identity)
    named = {"RoleArn": identity.role_arn} if identity.role_arn else {}
    try:
        found = _client(way).assume_role_with_web_identity(
            RoleSessionName=identity.session, WebIdentityToken=token, **named
        )
        lent = found["Credentials"]
        keys = Keys(lent["AccessKeyId"], lent["SecretAccessKey"], lent.get("SessionToken", ""))
    except ClientError as error:
        said = error.response.get("Error", {})
        code, message = str(said.get("Code", "")), str(said.get("Message", ""))
        raise FaultError(fault_of_sts(code, message, identity, token)) from error
    except (ResponseParserError, LookupError) as error:
        answered = "answered with what no such service does"
        raise FaultError(fault_of_sts(answered, "", identity, token)) from error
    except (BotoCoreError, HTTPClientError, OSError) as error:
        raise FaultError(fault_of_way(fault_of_transport(error, way), identity)) from error
    return keys, _lasting(found)


def token_of(identity: Identity) -> str:
    """Read anew each time: the kubelet renews it. Raises FaultError."""
    try:
        token = Path(identity.token_file or "/nowhere").read_text().strip()
    except (OSError, ValueError):
        token = ""
    if not token:
        raise FaultError(fault_of_no_token(identity))
    return token


def _client(way: Access) -> Any:
    config = Config(
        signature_version=UNSIGNED,
        proxies=proxies_of(way),
        retries={"mode": "standard", "total_max_attempts": 3},
        connect_timeout=5,
        read_timeout=20,
        parameter_validation=False,  # a store's own service may take a token without a role
    )
    return boto3.Session(botocore_session=quiet_session()).client(
        "sts",
        endpoint_url=way.endpoint.rstrip("/"),
        region_name=region_in(way.endpoint) or DEFAULT_REGION,
        verify=trusted(way.certificate_authority),
        config=config,
    )


def _lasting(found: Mapping[str, Any]) -> float | None:
    ends = found["Credentials"].get("Expiration")
    if not isinstance(ends, datetime):
        return None
    now = datetime.now(UTC)
    with suppress(KeyError, TypeError, ValueError):
        now = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
    return max(1.0, (ends - now).total_seconds())
