"""Brings a project's index up to date: a listing, and two readings of each job that is new.

A job that has succeeded never changes again. Of all others the summary is asked for by its tag, the
more seldom the longer nothing has changed: a job that stood still for a day may be resumed, but
nobody waits for that at every look.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

from sihl_api.record import JobSummary
from sihl_api.runtime import read_result
from sihl_dashboard.records.documents import JobDocument, read_job, read_summary, reconstructed
from sihl_dashboard.records.errors import (
    MissingError,
    QueryError,
    StoreAwayError,
    StoreDeniedError,
    Trouble,
    printable,
)
from sihl_dashboard.records.facts import facts_of, state_of
from sihl_dashboard.records.index import Entry, Index, Known, batches
from sihl_dashboard.records.measured import seconds_of
from sihl_dashboard.records.place import Place
from sihl_dashboard.records.refs import JobRef, project_root

_REST = 20
"""A job is asked for again after this part of the time in which it has not changed."""
_LONGEST_REST = 600.0
_BATCH = 200
_AHEAD = 64
_PATIENCE = 5
"""Jobs for which the store does not answer: a single object may be at fault, five are not."""
MADE = "made:"
"""Begins the tag of a summary that is not the record's own."""

T = TypeVar("T")

_NUMBER = re.compile(r"[1-9]\d{0,8}|0", re.ASCII)
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Refreshed:
    """What a look at a project found.

    Attributes:
        read: Of how many jobs something was new.
        troubles: Folders that are no job's, and jobs that could not be looked at.
    """

    read: int
    troubles: tuple[Trouble, ...]


def refresh(
    place: Place,
    index: Index,
    pool: Executor,
    namespace: str,
    project: str,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.time,
) -> Refreshed:
    """Look at a project's records; what was read before the store went away is kept.

    Args:
        place: The store.
        index: What is known, and becomes known.
        pool: Reads several jobs at a time.
        namespace: The project's.
        project: Its name.
        progress: Told how many jobs of how many have been looked at.
        clock: Seconds, this machine's.

    Raises:
        QueryError: namespace or project can be no name.
        StoreAwayError: not even a listing was to be had.
        StoreDeniedError: likewise.
    """
    names = place.folders(project_root(place.prefix, namespace, project))
    known = index.known(namespace, project)
    now = clock()
    due, troubles = _refs(
        namespace, project, [n for n in names if n not in known or is_due(known[n], now)]
    )
    gone, _ = _refs(namespace, project, sorted(known.keys() - set(names)))
    index.remove(gone)
    read = 0
    looks = _looks(place, pool, due, known, now, troubles)
    for done, batch in enumerate(batches(looks, _BATCH)):
        found = [entry for _, entry in batch if entry is not None]
        index.put(found)
        index.asked([ref for ref, entry in batch if entry is None], now)
        read += len(found)
        if progress:
            progress(min((done + 1) * _BATCH, len(due)), len(due))
    return Refreshed(read, tuple(troubles))


def is_due(known: Known, now: float) -> bool:
    """Whether a job may have changed since it was looked at."""
    if known.final:
        return False
    rest = min(max(known.asked - known.changed, 0.0) / _REST, _LONGEST_REST)
    return not known.asked <= now < known.asked + rest  # or this machine's clock was set back


def _refs(namespace: str, project: str, names: list[str]) -> tuple[list[JobRef], list[Trouble]]:
    refs, troubles = [], []
    for name in names:
        try:
            refs.append(JobRef(namespace, project, name))
        except QueryError as error:
            troubles.append(Trouble(printable(name), str(error)))
    return refs, troubles


def _looks(
    place: Place,
    pool: Executor,
    due: list[JobRef],
    known: dict[str, Known],
    now: float,
    troubles: list[Trouble],
) -> Iterator[tuple[JobRef, Entry | None]]:
    """Each job that is due, and what is new of it; ends when the store is away for good."""
    failures = 0
    for ref, future in _ahead(
        due, lambda ref: pool.submit(look, place, ref, known.get(ref.folder), now)
    ):
        try:
            yield ref, future.result()
        except (StoreAwayError, StoreDeniedError) as error:
            troubles.append(Trouble(ref.folder, str(error)))
            failures += isinstance(error, StoreAwayError)
            if failures >= _PATIENCE:
                troubles.append(Trouble(place.name, "is away: not all jobs were looked at"))
                return


def _ahead(
    refs: list[JobRef], submit: Callable[[JobRef], Future[T]]
) -> Iterator[tuple[JobRef, Future[T]]]:
    """Futures in order, a few of them submitted ahead: all at once would be held in memory."""
    pending: deque[tuple[JobRef, Future[T]]] = deque()
    try:
        for ref in refs:
            pending.append((ref, submit(ref)))
            if len(pending) >= _AHEAD:
                yield pending.popleft()
        while pending:
            yield pending.popleft()
    finally:
        for _, future in pending:
            future.cancel()


def look(place: Place, ref: JobRef, known: Known | None, now: float) -> Entry | None:
    """One job; None where nothing is new.

    Raises:
        StoreAwayError: the store is away.
        StoreDeniedError: it denies reading.
    """
    paths = ref.paths(place.prefix)
    try:
        if known and known.job_tag and not known.summary_tag.startswith(MADE):
            told = place.changed(paths.summary, known.summary_tag)
            if told is None:
                return None
        else:
            told = place.get(paths.summary)
    except MissingError:
        told = None
    job_tag, job_data, job = _job(place, paths.job_json, ref)
    summary, troubles = read_summary(told.data, paths.summary) if told else (None, ())
    if summary is None:
        summary = _from_attempts(place, ref)
    if told and not troubles:
        text = told.data
    else:
        text = summary.model_dump_json(by_alias=True, exclude_none=True).encode()
    tag = told.tag if told else MADE + sha256(text).hexdigest()
    if known and (job_tag, tag) == (known.job_tag, known.summary_tag):
        return None
    # Stores that are no file systems list no empty folders; SeaweedFS does, of removed records.
    is_there = job_data is not None or told is not None or bool(summary.attempts)
    return Entry(
        ref,
        Known(
            job_tag,
            tag,
            final=state_of(summary) == "Succeeded" and job_data is not None,
            changed=min(now, seconds_of(summary.updated_at, now)),
            asked=now,
        ),
        {"job.name": ref.job, **facts_of(job, summary)} if is_there else {},
        job_data,
        text,
        (*job.troubles, *troubles) if is_there else (),
    )


def _job(place: Place, key: str, ref: JobRef) -> tuple[str, bytes | None, JobDocument]:
    try:
        content = place.get(key)
    except MissingError:
        told = Trouble(key, "is missing: what ran is unknown")
        return "", None, JobDocument(name=ref.job, troubles=(told,))
    return content.tag, content.data, read_job(content.data, key)


def _from_attempts(place: Place, ref: JobRef) -> JobSummary:
    """For records that have no summary, or a torn one: earlier releases wrote none."""
    numbers = attempts_of(place, ref)
    result = None
    if numbers:
        with suppress(MissingError):
            key = ref.paths(place.prefix).result(numbers[-1])
            result = read_result(place.get(key).data.decode(errors="replace"))
    return reconstructed(numbers, result)


def attempts_of(place: Place, ref: JobRef) -> list[int]:
    """The numbers of a job's attempts, in order."""
    names = place.folders(ref.paths(place.prefix).attempts)
    return sorted(
        int(name) for name in names if name.isascii() and name.isdecimal() and len(name) < 10
    )
