"""Whether the record can be written, as those found who last tried."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from sihl_api.runtime import RecordReport
from sihl_trainer.errors import Refused, TrainerError

BLINK_SECONDS = 15.0
"""What is over within this time is nobody's business; a refusal is not over by itself."""
_UNANSWERED_SECONDS = 30.0
"""For which a few lines may be on their way."""


@dataclass(frozen=True)
class _Failure:
    """The first of an outage: what followed says the same of other keys."""

    since: float
    reason: str
    message: str
    lasting: bool


class Writable:
    """What several writers found, each told by what it writes. Thread-safe.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[str, _Failure] = {}
        self._trying: dict[str, float] = {}
        self._wrote = False
        self._lock = threading.Lock()

    def trying(self, what: str) -> None:
        """A few lines are on their way, which no store takes long for."""
        with self._lock:
            self._trying[what] = self._clock()

    def wrote(self, what: str) -> None:
        """It is in the record, for example `checkpoints`."""
        with self._lock:
            self._wrote = True
            self._trying.pop(what, None)
            self._failures.pop(what, None)

    def failed(self, what: str, error: Exception) -> None:
        """It is not, and is to be tried again."""
        reason = error.reason if isinstance(error, TrainerError) else "StoreUnavailable"
        with self._lock:
            self._trying.pop(what, None)
            before = self._failures.get(what)
            if before is None or before.reason != reason:
                since = before.since if before else self._clock()
                text, lasting = str(error).rstrip("."), isinstance(error, Refused)
                self._failures[what] = _Failure(since, reason, text, lasting)

    def report(self) -> RecordReport | None:
        """As the operator is told it; None while nobody knows."""
        with self._lock:
            now = self._clock()
            worth = {
                what: failure
                for what, failure in self._failures.items()
                if failure.lasting or now - failure.since >= BLINK_SECONDS
            }
            for what, since in self._trying.items():
                if now - since >= _UNANSWERED_SECONDS and what not in worth:
                    text = f"the store has not answered for more than {_UNANSWERED_SECONDS:.0f} s"
                    worth[what] = _Failure(since, "StoreUnavailable", text, lasting=False)
            if worth:
                return _told(worth)
            return RecordReport(writable=True) if self._wrote else None


def _told(failures: dict[str, _Failure]) -> RecordReport:
    """All that cannot be written, and why the first of it cannot."""
    first = min(failures.values(), key=lambda failure: failure.since)
    what = " and ".join(sorted(failures))
    text = f"{what[:1].upper()}{what[1:]} cannot be written: {first.message}."
    return RecordReport(writable=False, reason=first.reason, message=text)
