"""Keys that are lent for a pod's token, and lent anew before they expire: for boto3 and obstore.

How long they last is taken from the lender's own two times, when it answered and when they end,
and counted by a clock that only goes on: this node's may be wrong.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.credentials import (
    CredentialProvider,
    CredentialResolver,
    Credentials,
    ReadOnlyCredentials,
)

from sihl_s3.access import Access, Keys, PodIdentity, WebIdentity
from sihl_s3.agent import keys_of_agent
from sihl_s3.answers import FaultError
from sihl_s3.sts import keys_of_sts

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
        access: Of a bucket that an `Identity` asks.
        clock: Seconds that go on evenly.
    """

    def __init__(self, access: Access, clock: Callable[[], float] = time.monotonic) -> None:
        match access.keys:
            case WebIdentity() as identity:
                self._asked = functools.partial(keys_of_sts, identity, access)
            case PodIdentity() as identity:
                self._asked = functools.partial(keys_of_agent, identity)
            case _:
                raise TypeError("only an Identity is lent keys")
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
            keys, ends_in = self._asked()
        except FaultError as error:
            self._refused = (self._clock() + PAUSE_SECONDS, error)
            raise
        return _Loan(keys, now, now + (USUAL_SECONDS if ends_in is None else ends_in))


class _Lent(Credentials):  # type: ignore[misc]  # botocore has no types
    """As botocore asks for them, once a request."""

    def __init__(self, lender: Lender) -> None:
        super().__init__("lent", "lent", method="lent")
        self._lender = lender

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Those of the moment."""
        keys = self._lender.keys()
        return ReadOnlyCredentials(
            keys.access_key_id, keys.secret_access_key, keys.session_token or None
        )


class _Provider(CredentialProvider):  # type: ignore[misc]  # botocore has no types
    METHOD = "lent"

    def __init__(self, lender: Lender) -> None:
        super().__init__()
        self._lender = lender

    def load(self) -> Credentials:
        return _Lent(self._lender)
