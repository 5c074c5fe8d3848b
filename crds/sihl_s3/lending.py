"""Keys that are lent for a pod's token, and lent anew before they expire: for boto3 and obstore.

How long they last is taken from the lender's own two times, when it answered and when they end,
and counted by a clock that only goes on: this node's may be wrong.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import (
    CredentialProvider,
    CredentialResolver,
    Credentials,
    ReadOnlyCredentials,
)
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.parsers import ResponseParserError

from sihl_s3.access import DEFAULT_REGION, Access, Keys, WebIdentity, region_in
from sihl_s3.answers import FaultError
from sihl_s3.boto import proxies_of, quiet_session, trusted
from sihl_s3.identity import fault_of_no_token, fault_of_sts, fault_of_way
from sihl_s3.transport import fault_of_transport

USUAL_SECONDS = 3600.0
"""How long keys last whose lender does not say it."""
EARLY_SECONDS = 600.0
"""Before their end others are asked for: a request that was signed may wait for its turn."""
PAUSE_SECONDS = 5.0
"""After a refusal, before the lender is asked again, however many ask."""
SETTLED_SECONDS = 60.0
"""Keys younger than that are not lent anew because the store refuses them: others would be too."""


@dataclass(frozen=True)
class _Loan:
    keys: Keys
    began: float
    ends: float

    @property
    def renewed_at(self) -> float:
        return self.ends - min(EARLY_SECONDS, (self.ends - self.began) / 4)


class Lender:
    """Knows the keys that may be used at the moment. Thread-safe.

    Args:
        access: Of a bucket that a `WebIdentity` asks; its authority and proxy count here too.
        clock: Seconds that go on evenly.
    """

    def __init__(self, access: Access, clock: Callable[[], float] = time.monotonic) -> None:
        if not isinstance(access.keys, WebIdentity):
            raise TypeError("only a WebIdentity is lent keys")
        self._identity = access.keys
        self._access = replace(access, endpoint=self._identity.endpoint, bucket="", keys=None)
        self._clock = clock
        self._lock = threading.Lock()
        self._loan: _Loan | None = None
        self._refused: tuple[float, FaultError] | None = None

    def keys(self) -> Keys:
        """Those of the moment.

        Raises:
            FaultError: None are lent, and those of before have expired.
        """
        return self._current().keys

    def for_obstore(self) -> dict[str, Any]:
        """The same as obstore wants them, which asks again some time before they end.

        Raises:
            FaultError: As `keys`.
        """
        loan = self._current()
        left = timedelta(seconds=loan.ends - self._clock())
        return {
            "access_key_id": loan.keys.access_key_id,
            "secret_access_key": loan.keys.secret_access_key,
            "token": loan.keys.session_token,
            "expires_at": datetime.now(UTC) + left,
        }

    def forget(self) -> bool:
        """The store refuses the keys of the moment: whether others will be lent at the next ask."""
        with self._lock:
            loan = self._loan
            if loan is None or self._clock() - loan.began < SETTLED_SECONDS:
                return False
            self._loan = None
            return True

    @property
    def resolver(self) -> CredentialResolver:
        """For a session of botocore's."""
        return CredentialResolver([_Provider(self)])

    def _current(self) -> _Loan:
        with self._lock:
            now, loan = self._clock(), self._loan
            if loan is not None and now < loan.renewed_at:
                return loan
            try:
                self._loan = self._borrowed(now)
            except FaultError:
                if loan is None or now >= loan.ends:
                    raise
                return loan  # for a while yet; asked again after a pause
            return self._loan

    def _borrowed(self, now: float) -> _Loan:
        if self._refused is not None and now < self._refused[0]:
            raise self._refused[1]
        try:
            keys, seconds = self._asked()
        except FaultError as error:
            self._refused = (self._clock() + PAUSE_SECONDS, error)
            raise
        return _Loan(keys, now, now + seconds)

    def _asked(self) -> tuple[Keys, float]:
        """Keys, and for how many seconds they last."""
        identity = self._identity
        token = _token(identity)
        named = {"RoleArn": identity.role_arn} if identity.role_arn else {}
        try:
            found = self._client().assume_role_with_web_identity(
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
            fault = fault_of_transport(error, self._access)
            raise FaultError(fault_of_way(fault, identity)) from error
        return keys, _lasting(found)

    def _client(self) -> Any:
        config = Config(
            signature_version=UNSIGNED,
            proxies=proxies_of(self._access),
            retries={"mode": "standard", "total_max_attempts": 3},
            connect_timeout=5,
            read_timeout=20,
            parameter_validation=False,  # a store's own service may take a token without a role
        )
        return boto3.Session(botocore_session=quiet_session()).client(
            "sts",
            endpoint_url=self._identity.endpoint.rstrip("/"),
            region_name=region_in(self._identity.endpoint) or DEFAULT_REGION,
            verify=trusted(self._access.certificate_authority),
            config=config,
        )


def _token(identity: WebIdentity) -> str:
    """Read anew each time: the kubelet renews it. Raises FaultError."""
    try:
        token = Path(identity.token_file or "/nowhere").read_text().strip()
    except (OSError, ValueError):
        token = ""
    if not token:
        raise FaultError(fault_of_no_token(identity))
    return token


def _lasting(found: Mapping[str, Any]) -> float:
    """Seconds that keys last."""
    ends = found["Credentials"].get("Expiration")
    if not isinstance(ends, datetime):
        return USUAL_SECONDS
    now = datetime.now(UTC)
    with suppress(KeyError, TypeError, ValueError):
        now = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
    return max(1.0, (ends - now).total_seconds())


class _Lent(Credentials):  # type: ignore[misc]  # botocore has no types
    """As botocore asks for them, once a request."""

    def __init__(self, lender: Lender) -> None:
        super().__init__("lent", "lent", method="web-identity")
        self._lender = lender

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Those of the moment."""
        keys = self._lender.keys()
        return ReadOnlyCredentials(
            keys.access_key_id, keys.secret_access_key, keys.session_token or None
        )


class _Provider(CredentialProvider):  # type: ignore[misc]  # botocore has no types
    METHOD = "web-identity"

    def __init__(self, lender: Lender) -> None:
        super().__init__()
        self._lender = lender

    def load(self) -> Credentials:
        return _Lent(self._lender)
