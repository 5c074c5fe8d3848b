"""How far a job's record has come: what is asked again and again of jobs that are looked at."""

from __future__ import annotations

from dataclasses import dataclass

from sihl_api.record import segments_of
from sihl_dashboard.records.errors import MissingError
from sihl_dashboard.records.place import Place
from sihl_dashboard.records.refresh import attempts_of
from sihl_dashboard.records.refs import JobRef
from sihl_dashboard.records.remembered import Remembered


@dataclass(frozen=True)
class Pulse:
    """Versions of a record's parts: equal ones mean that nothing was written between.

    Attributes:
        metrics: Of the last attempt's lines of metrics.
        log: Likewise.
        summary: Of summary.json; "" where there is none.
    """

    metrics: str = ""
    log: str = ""
    summary: str = ""


def pulse(place: Place, ref: JobRef, known: Pulse | None = None) -> Pulse:
    """Ask: three listings, and the summary by its tag.

    Merging changes nothing: a sum ends at the segment at which its last piece ended.

    Args:
        place: The store.
        ref: Which job.
        known: What the last pulse told.

    Raises:
        StoreAwayError: the store is away.
        StoreDeniedError: it lets nobody read.
    """
    paths = ref.paths(place.prefix)
    try:
        tag = known.summary if known else ""
        content = place.changed(paths.summary, tag)
        tag = content.tag if content else tag
    except MissingError:
        tag = ""
    if known and tag != known.summary and isinstance(place, Remembered):
        place.forget(paths.attempts)  # an attempt may have ended, and merged what it wrote last
    number = max(attempts_of(place, ref), default=0)

    def last(kind: str) -> str:
        keys = (item.key for item in place.items(f"{paths.attempt(number)}{kind}-"))
        ends = [found[1] for key in keys if (found := segments_of(key))]
        return f"{number}.{max(ends, default=-1)}"

    return Pulse(last("metrics") if number else "", last("log") if number else "", tag)
