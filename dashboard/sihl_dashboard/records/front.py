"""The front: what is asked of records, and by whomever it is asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sihl_api.record import JobSummary
from sihl_dashboard.records import pictures
from sihl_dashboard.records.curves import Curves, View, drawn
from sihl_dashboard.records.differences import Compared, Differences, Which, differences
from sihl_dashboard.records.documents import JobDocument, read_job
from sihl_dashboard.records.errors import (
    MissingError,
    QueryError,
    StoreAwayError,
    StoreDeniedError,
    Trouble,
)
from sihl_dashboard.records.facts import Facts, dataset_of, settings_of
from sihl_dashboard.records.history import Course, course, with_metrics
from sihl_dashboard.records.index import Entry, Index, Row
from sihl_dashboard.records.lines import LineIndex
from sihl_dashboard.records.logs import Log
from sihl_dashboard.records.measured import Measured
from sihl_dashboard.records.pictures import Picture, SameImage
from sihl_dashboard.records.place import Place
from sihl_dashboard.records.query import Query
from sihl_dashboard.records.refresh import MADE, Progress, attempts_of, look, refresh
from sihl_dashboard.records.refs import JobRef, project_root
from sihl_dashboard.records.shelf import Kept, Shelf
from sihl_dashboard.records.stream import Stream

_MEMORY = 64 << 20
_MOST_INDEXES = 2000
_LONG = 60.0
_METRICS_BYTES = 8 << 20


@dataclass(frozen=True)
class Jobs:
    """Jobs of a project.

    Attributes:
        rows: Those that were asked for.
        total: How many meet the conditions.
        columns: All paths that any of the project's jobs has, and whether those differ there.
        read_at: When the store was looked at, in seconds since 1970; 0 if never.
        troubles: What could not be read; the store's own trouble first.
    """

    rows: list[Row]
    total: int
    columns: dict[str, bool]
    read_at: float
    troubles: tuple[Trouble, ...]


@dataclass(frozen=True)
class Job:
    """One job.

    Attributes:
        facts: All that is known, flat, as in `facts`.
        document: What job.json says.
        summary: The record's, or what is known in its place.
        is_summarised: Whether it is the record's own.
    """

    ref: JobRef
    facts: Facts
    document: JobDocument
    summary: JobSummary
    is_summarised: bool
    troubles: tuple[Trouble, ...]


@dataclass
class _Look:
    """At a project: one at a time, for all who wait for it."""

    lock: threading.Lock
    at: float = 0.0
    troubles: tuple[Trouble, ...] = ()


class Records:
    """Answers from the index and from what was parsed, and reads what is new. Thread-safe.

    Args:
        place: The store.
        scratch: A folder for the index; None keeps it in memory.
        threads: Requests that are made at a time.
        memory: Bytes that parsed measurements may take.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        place: Place,
        scratch: Path | None = None,
        threads: int = 8,
        memory: int = _MEMORY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._place = place
        self._clock = clock
        self._index = Index(scratch, f"{place.name} {place.prefix}")
        self._shelf = Shelf(memory)
        self._lines: dict[tuple[JobRef, int], LineIndex] = {}
        self._looks: dict[tuple[str, str], _Look] = {}
        self._lock = threading.Lock()
        # Two: who works on a job waits for its objects, and must not take their turn.
        self._jobs = ThreadPoolExecutor(threads, "records-jobs")
        self._objects = ThreadPoolExecutor(threads, "records-objects")

    def close(self) -> None:
        """Let go of threads and index."""
        self._jobs.shutdown(cancel_futures=True)
        self._objects.shutdown(cancel_futures=True)
        self._index.close()

    def namespaces(self) -> list[str]:
        """Those that have records. Raises StoreAwayError, StoreDeniedError."""
        return self._place.folders(project_root(self._place.prefix))

    def projects(self, namespace: str) -> list[str]:
        """Those that have records. Raises StoreAwayError, StoreDeniedError."""
        return self._place.folders(project_root(self._place.prefix, namespace))

    def jobs(
        self,
        namespace: str,
        project: str,
        query: Query | None = None,
        max_age: float = 5.0,
        progress: Progress | None = None,
    ) -> Jobs:
        """Jobs of a project, as a query wants them.

        While the store is away, what is known is answered, with its trouble beside.

        Args:
            namespace: The project's.
            project: Its name.
            query: Columns, conditions, order.
            max_age: Seconds for which the last look at the store will do.
            progress: Told how many jobs of how many have been looked at.

        Raises:
            QueryError: the query can be none.
        """
        told = self._looked(namespace, project, max_age, progress)
        rows, total = self._index.select(namespace, project, query or Query())
        return Jobs(
            rows,
            total,
            self._index.columns(namespace, project),
            told.at,
            (*told.troubles, *self._index.troubles(namespace, project)),
        )

    def job(self, ref: JobRef, fresh: bool = True) -> Job:
        """One job, all of it.

        Args:
            ref: Which.
            fresh: Whether to ask the store for what is new.

        Raises:
            MissingError: there is no such record.
            StoreAwayError: the store is away, and nothing is known of the job.
            StoreDeniedError: likewise.
        """
        known = self._index.entry(ref)
        troubles: tuple[Trouble, ...] = ()
        if known is None or (fresh and not known.known.final):
            try:
                now = self._clock()
                new = look(self._place, ref, known.known if known else None, now)
                if new is not None:
                    self._index.put([new])
                known = new or known
            except (StoreAwayError, StoreDeniedError) as error:
                if known is None:
                    raise
                troubles = (Trouble(self._place.name, str(error)),)
        if known is None or not known.facts:
            raise MissingError(ref.paths(self._place.prefix).root)
        return _job(known, ref.paths(self._place.prefix).job_json, troubles)

    def curves(
        self, refs: Sequence[JobRef], view: View | None = None, max_age: float = 1.0
    ) -> Curves:
        """Curves of any jobs on one grid, each through all of its attempts.

        Args:
            refs: Which jobs; one that cannot be read is told beside.
            view: What to draw.
            max_age: Seconds for which the last look at a job will do.
        """
        courses: dict[JobRef, Course] = {}
        sizes: dict[JobRef, int] = {}
        troubles: list[Trouble] = []
        unique = list(dict.fromkeys(refs))
        for ref, (found, told) in zip(
            unique, self._jobs.map(lambda ref: self._course(ref, max_age), unique), strict=True
        ):
            troubles += told
            if found is not None:
                courses[ref], size = found
                if size:
                    sizes[ref] = size
        return drawn(courses, sizes, view or View(), troubles)

    def log(self, ref: JobRef, attempt: int | None = None) -> Log:
        """A job's log as it is now; ask again to follow it.

        Args:
            ref: Which job.
            attempt: Of this one only; None is all, one after the other.

        Raises:
            MissingError: no such attempt.
        """
        numbers = attempts_of(self._place, ref)
        if attempt is not None:
            if attempt not in numbers:
                raise MissingError(ref.paths(self._place.prefix).attempt(attempt))
            numbers = [attempt]
        paths = ref.paths(self._place.prefix)
        streams = {n: Stream(self._place, paths, n, "log", self._objects) for n in numbers}
        return Log(streams, {n: self._line_index(ref, n) for n in numbers})

    def differences(
        self,
        refs: Sequence[JobRef],
        baseline: JobRef | None = None,
        metrics: Sequence[str] | None = None,
        which: Which = "best",
    ) -> Differences:
        """What differs between jobs, and what came of it.

        Args:
            refs: Any number; one that cannot be read is told beside.
            baseline: The one of them that the others are measured by.
            metrics: As "validation/boxes/map"; None is all of the validation.
            which: Value of a metric counts.
        """
        compared: dict[JobRef, Compared] = {}
        troubles: list[Trouble] = []
        for ref in dict.fromkeys(refs):
            try:
                job = self.job(ref)
            except (MissingError, StoreAwayError, StoreDeniedError) as error:
                troubles.append(Trouble(ref.folder, str(error)))
                continue
            troubles += job.troubles
            document, summary = job.document, job.summary
            if not job.is_summarised:
                found, told = self._course(ref, _LONG)
                troubles += told
                summary = with_metrics(summary, found[0]) if found else summary
            compared[ref] = Compared(settings_of(document), dataset_of(document), summary)
        return differences(compared, baseline, metrics, which, troubles)

    def pictures(self, ref: JobRef) -> list[Picture]:
        """A job's validation pictures that still count, by step, head and image."""
        paths = ref.paths(self._place.prefix)
        found = pictures.listed(self._place, paths, attempts_of(self._place, ref))
        return pictures.standing(found, _counts_upto(self.job(ref).summary))

    def same_images(self, refs: Iterable[JobRef], step: int | None = None) -> list[SameImage]:
        """The validation images that several jobs drew, side by side.

        Args:
            refs: Which jobs.
            step: The latest validation up to it; None is each job's last.
        """
        return pictures.side_by_side({ref: self.pictures(ref) for ref in refs}, step)

    def picture(self, ref: JobRef, picture: Picture) -> bytes:
        """One picture's file. Raises MissingError: it may be missing for ever."""
        paths = ref.paths(self._place.prefix)
        if any("/" in name or name in (".", "..", "") for name in (picture.head, picture.file)):
            raise QueryError("a picture is named by its head and its file")
        return self._place.get(picture.key(paths)).data

    def _looked(
        self, namespace: str, project: str, max_age: float, progress: Progress | None
    ) -> _Look:
        with self._lock:
            told = self._looks.setdefault((namespace, project), _Look(threading.Lock()))
        with told.lock:
            age = self._clock() - told.at
            if not 0 <= age < max_age:
                try:
                    found = refresh(
                        self._place, self._index, self._jobs, namespace, project, progress,
                        self._clock,
                    )  # fmt: skip
                    told.troubles = found.troubles
                    told.at = self._clock()
                except (StoreAwayError, StoreDeniedError) as error:
                    told.troubles = (Trouble(self._place.name, str(error)),)
            return _Look(told.lock, told.at, told.troubles)

    def _course(
        self, ref: JobRef, max_age: float
    ) -> tuple[tuple[Course, int] | None, list[Trouble]]:
        """A job's course and its batch size, 0 where unknown."""
        troubles: list[Trouble] = []
        try:
            job = self.job(ref, fresh=False)
            kept = self._shelf.use(ref, lambda kept: self._measure(job, kept, max_age, troubles))
        except (MissingError, StoreAwayError, StoreDeniedError) as error:
            return None, [*troubles, Trouble(ref.folder, str(error))]
        with kept.lock:
            found = course(kept.attempts, _resumed(job.summary))
            told = _told(ref, kept.attempts, found)
        size = job.facts.get("spec.training.batchSize")
        return (found, size if isinstance(size, int) else 0), [*job.troubles, *troubles, *told]

    def _measure(self, job: Job, kept: Kept, max_age: float, troubles: list[Trouble]) -> None:
        """Read what a job has measured since; what was read stays if the store goes away."""
        now = self._clock()
        is_final = job.facts.get("job.state") == "Succeeded"
        if kept.is_complete or (kept.asked and 0 <= now - kept.asked < max_age):
            return
        paths = job.ref.paths(self._place.prefix)
        try:
            numbers = attempts_of(self._place, job.ref)
            for number in numbers:
                if number in kept.attempts and number not in numbers[-2:]:
                    continue  # it has ended, and so has what might have outlived it
                measured = kept.attempts.setdefault(number, Measured())
                stream = Stream(self._place, paths, number, "metrics", self._objects)
                rest = b""
                for chunk in stream.chunks(measured.taken, _METRICS_BYTES):
                    rest += chunk
                    before = measured.taken
                    measured.add(rest)
                    rest = rest[measured.taken - before :]
            kept.asked, kept.is_complete = now, is_final
        except (MissingError, StoreAwayError, StoreDeniedError) as error:
            if not kept.attempts:
                raise
            troubles.append(Trouble(job.ref.folder, str(error)))

    def _line_index(self, ref: JobRef, attempt: int) -> LineIndex:
        with self._lock:
            while len(self._lines) >= _MOST_INDEXES:
                del self._lines[next(iter(self._lines))]
            return self._lines.setdefault((ref, attempt), LineIndex())


def _job(entry: Entry, where: str, troubles: tuple[Trouble, ...]) -> Job:
    summary = JobSummary.model_validate_json(entry.summary or b'{"updatedAt": ""}')
    if len({attempt.dataset for attempt in summary.attempts if attempt.dataset}) > 1:
        told = "its dataset changed between attempts: what is told of it is the first one's"
        troubles = (*troubles, Trouble(entry.ref.folder, told))
    return Job(
        entry.ref,
        entry.facts,
        read_job(entry.job, where) if entry.job is not None else JobDocument(name=entry.ref.job),
        summary,
        not entry.known.summary_tag.startswith(MADE),
        (*troubles, *entry.troubles),
    )


def _resumed(summary: JobSummary) -> dict[int, int | None]:
    """By attempt, the step it went on from; without those of which nobody knows.

    Earlier releases tell no times, and of what they write here nothing is known.
    """
    return {
        attempt.number: attempt.resumed_at_step
        for attempt in summary.attempts
        if attempt.started_at is not None
    }


def _counts_upto(summary: JobSummary) -> dict[int, int]:
    """By attempt that did a step, the last step before it that still counts."""
    return {
        attempt.number: attempt.resumed_at_step or 0
        for attempt in summary.attempts
        if attempt.first_step is not None
    }


def _told(ref: JobRef, measured: Mapping[int, Measured], found: Course) -> list[Trouble]:
    unreadable = sum(each.unreadable for each in measured.values())
    told = []
    if unreadable:
        told.append(Trouble(ref.folder, f"{unreadable} lines of metrics could not be read"))
    if any(each.too_many for each in measured.values()):
        told.append(Trouble(ref.folder, "has more than 1000 metrics: the rest is left out"))
    if found.jumps:
        told.append(Trouble(ref.folder, f"its clock went back {found.jumps} times"))
    return told
