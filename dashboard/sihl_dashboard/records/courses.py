"""What jobs measured, read as it grows and kept while there is room."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from contextlib import suppress

from sihl_dashboard.records.columns import measured_of
from sihl_dashboard.records.errors import (
    MissingError,
    StoreAwayError,
    StoreDeniedError,
    Trouble,
)
from sihl_dashboard.records.history import Course, course
from sihl_dashboard.records.job import Job
from sihl_dashboard.records.measured import MOST_METRICS, Measured
from sihl_dashboard.records.place import Place
from sihl_dashboard.records.refresh import attempts_of
from sihl_dashboard.records.refs import JobRef
from sihl_dashboard.records.shelf import Kept, Shelf
from sihl_dashboard.records.stream import Stream

_READ_BYTES = 2 << 20
"""At a time: as objects of Python's they take some ten times as much."""


class Courses:
    """Thread-safe.

    Args:
        place: The store.
        pool: Reads several objects at a time.
        memory: Bytes that measurements may take.
        clock: Seconds.
    """

    def __init__(
        self, place: Place, pool: Executor, memory: int, clock: Callable[[], float]
    ) -> None:
        self._place = place
        self._pool = pool
        self._shelf = Shelf(memory)
        self._clock = clock

    def of(self, job: Job, max_age: float) -> tuple[Course | None, list[Trouble]]:
        """A job's course, and what could not be read of it.

        Args:
            job: Which.
            max_age: Seconds for which the last look will do.
        """
        troubles: list[Trouble] = []
        try:
            kept = self._shelf.use(job.ref, lambda kept: self._read(job, kept, max_age, troubles))
        except (MissingError, StoreAwayError, StoreDeniedError) as error:
            return None, [Trouble(job.ref.folder, str(error))]
        with kept.lock:
            found = course(kept.attempts, job.resumed)
            return found, [*troubles, *_told(job.ref, kept.attempts, found)]

    def unread(self, refs: Iterable[JobRef]) -> list[JobRef]:
        """Those of which nothing is here."""
        return [ref for ref in refs if not self._shelf.has(ref)]

    def has_all(self, ref: JobRef) -> bool:
        """Whether nothing of a job is left to be read, now or ever."""
        return self._shelf.has_all(ref)

    def _read(self, job: Job, kept: Kept, max_age: float, troubles: list[Trouble]) -> None:
        """Read what is new; what was read stays if the store goes away."""
        now = self._clock()
        was_asked = kept.asked and 0 <= now - kept.asked < max_age
        if kept.is_complete or (was_asked and not job.is_final):
            return
        try:
            numbers = attempts_of(self._place, job.ref)
            for number in numbers:
                if number in kept.attempts and number not in numbers[-2:]:
                    continue  # it has ended, and so has what might have outlived it
                has_ended = job.has_ended or number != numbers[-1]
                if number not in kept.attempts:
                    kept.attempts[number] = self._begun(job.ref, number, has_ended)
                self._read_attempt(job.ref, number, kept.attempts[number])
            kept.asked, kept.is_complete = now, job.is_final
        except (MissingError, StoreAwayError, StoreDeniedError) as error:
            if not kept.attempts:
                raise
            troubles.append(Trouble(job.ref.folder, str(error)))

    def _begun(self, ref: JobRef, number: int, has_ended: bool) -> Measured:
        """What an attempt has left as columns; empty where it has not."""
        if has_ended:
            key = ref.paths(self._place.prefix).columns(number)
            with suppress(MissingError):
                return measured_of(self._place.get(key).data) or Measured()
        return Measured()

    def _read_attempt(self, ref: JobRef, number: int, measured: Measured) -> None:
        paths = ref.paths(self._place.prefix)
        stream = Stream(self._place, paths, number, "metrics", self._pool)
        rest = b""
        for chunk in stream.chunks(measured.taken, _READ_BYTES):
            rest += chunk
            before = measured.taken
            measured.add(rest)
            rest = rest[measured.taken - before :]


def _told(ref: JobRef, measured: Mapping[int, Measured], found: Course) -> list[Trouble]:
    unreadable = sum(each.unreadable for each in measured.values())
    told = []
    if unreadable:
        told.append(Trouble(ref.folder, f"{unreadable} lines of metrics could not be read"))
    if any(each.too_many for each in measured.values()):
        told.append(
            Trouble(ref.folder, f"has more than {MOST_METRICS} metrics: the rest is left out")
        )
    if found.jumps:
        told.append(Trouble(ref.folder, f"its clock went back {found.jumps} times"))
    return told
