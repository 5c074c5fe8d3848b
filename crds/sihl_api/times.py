"""Times as Kubernetes, the API and the record spell them: RFC 3339, in UTC."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def rfc3339(when: float, to: str = "seconds") -> str:
    """Seconds since 1970 as `2026-01-02T03:04:05Z`.

    Args:
        when: What is finer than asked for is cut off.
        to: How fine, in `datetime.isoformat`'s words: seconds, milliseconds, microseconds.

    Raises:
        ValueError: No year has that time; OverflowError, OSError: no calendar.
    """
    return f"{datetime.fromtimestamp(when, UTC).isoformat(timespec=to).removesuffix('+00:00')}Z"


def now() -> str:
    """The time, to the second."""
    return rfc3339(time.time())


def since_1970(text: str) -> float:
    """Seconds from 1970 to a time; one without a zone is of UTC.

    Raises:
        ValueError: It is no time; OverflowError: no calendar has it.
    """
    told = datetime.fromisoformat(text)
    return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
