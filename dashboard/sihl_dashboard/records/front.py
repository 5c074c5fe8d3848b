"""The front: what is asked of records, and by whomever it is asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sihl_dashboard.records import pictures
from sihl_dashboard.records.courses import Courses
from sihl_dashboard.records.curves import Curves, View, drawn
from sihl_dashboard.records.differences import Compared, Differences, Which, differences
from sihl_dashboard.records.disagreement import Disagreements
from sihl_dashboard.records.errors import (
    MissingError,
    QueryError,
    StoreAwayError,
    StoreDeniedError,
    Trouble,
)
from sihl_dashboard.records.facts import dataset_of, settings_of
from sihl_dashboard.records.here import Here
from sihl_dashboard.records.history import Course, with_metrics
from sihl_dashboard.records.index import Index, Row
from sihl_dashboard.records.job import Job
from sihl_dashboard.records.lines import LineIndex
from sihl_dashboard.records.logs import Log
from sihl_dashboard.records.looks import Look, Looks
from sihl_dashboard.records.models import Model, model_of
from sihl_dashboard.records.pictures import Picture, SameImage
from sihl_dashboard.records.place import Place
from sihl_dashboard.records.pulse import Pulse, pulse
from sihl_dashboard.records.query import Query
from sihl_dashboard.records.refresh import attempts_of
from sihl_dashboard.records.refs import JobRef, project_root
from sihl_dashboard.records.stream import Stream

_MEMORY = 64 << 20
_MOST_INDEXES = 2000
_LONG = 60.0
_SUMMARY_AGE = 10.0
"""Seconds: an attempt that is not in the summary yet is known by its first line."""


@dataclass(frozen=True)
class Jobs:
    """Jobs of a project.

    Attributes:
        rows: Those that were asked for.
        total: How many meet the conditions.
        columns: All paths that any of the project's jobs has, and whether those differ there.
        look: How current this is, and how far a look at the store is that is under way.
        troubles: What could not be read; the store's own trouble first.
    """

    rows: list[Row]
    total: int
    columns: dict[str, bool]
    look: Look
    troubles: tuple[Trouble, ...]


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
        self._lines: dict[tuple[JobRef, int], LineIndex] = {}
        self._lock = threading.Lock()
        # Two: who works on a job waits for its objects, and must not take their turn.
        self._jobs: Executor = Here()
        if not place.is_near:
            self._jobs = ThreadPoolExecutor(threads, "records-jobs")
        self._objects = ThreadPoolExecutor(threads, "records-objects")
        self._looks = Looks(place, self._index, self._jobs, clock)
        self._courses = Courses(place, self._objects, memory, clock)
        self._disagreements = Disagreements(self.picture, self._objects)

    def close(self) -> None:
        """Let go of threads and index."""
        self._looks.close()
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
        patience: float | None = None,
    ) -> Jobs:
        """Jobs of a project, as a query wants them.

        While the store is away, what is known is answered, with its trouble beside.

        Args:
            namespace: The project's.
            project: Its name.
            query: Columns, conditions, order.
            max_age: Seconds for which the last look at the store will do.
            patience: Seconds to wait for a new look at it; then what is known is answered, and
                the look goes on. None waits for its end.

        Raises:
            QueryError: the query can be none.
        """
        told = self._looks.look(namespace, project, max_age, patience)
        rows, total = self._index.select(namespace, project, query or Query())
        return Jobs(
            rows,
            total,
            self._index.columns(namespace, project),
            told,
            (*told.troubles, *self._index.troubles(namespace, project)),
        )

    def job(self, ref: JobRef, max_age: float = 0.0) -> Job:
        """One job, all of it.

        Args:
            ref: Which.
            max_age: Seconds for which the last look at the store will do.

        Raises:
            MissingError: there is no such record.
            StoreAwayError: the store is away, and nothing is known of the job.
            StoreDeniedError: likewise.
        """
        return self._looks.job(ref, max_age)

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
        wanted = list(dict.fromkeys(refs))
        pool = Here() if all(map(self._courses.has_all, wanted)) else self._jobs
        for ref, job, found, told in pool.map(lambda ref: self._course(ref, max_age), wanted):
            troubles += told
            if job and found:
                courses[ref] = found
                if job.batch_size:
                    sizes[ref] = job.batch_size
        return drawn(courses, sizes, view or View(), troubles)

    def read_ahead(self, refs: Iterable[JobRef]) -> int:
        """Read what jobs measured, of those of which nothing has been; how many these are."""
        unread = self._courses.unread(refs)
        return len(list(self._jobs.map(lambda ref: self._course(ref, _LONG), unread)))

    def are_final(self, refs: Iterable[JobRef]) -> bool:
        """Whether nothing of these jobs will change any more, as far as they were looked at."""
        return all(self._index.is_final(ref) for ref in refs)

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
            compared[ref], told = self._compared(job)
            troubles += told
        return differences(compared, baseline, metrics, which, troubles)

    def pictures(self, ref: JobRef) -> list[Picture]:
        """A job's validation pictures that still count, by step, head and image."""
        paths = ref.paths(self._place.prefix)
        found = pictures.listed(self._place, paths, attempts_of(self._place, ref))
        return pictures.standing(found, self.job(ref).counts_upto)

    def same_images(self, refs: Iterable[JobRef], step: int | None = None) -> list[SameImage]:
        """The validation images that several jobs drew, those first on which they disagree most.

        Args:
            refs: Which jobs.
            step: The latest validation up to it; None is each job's last.
        """
        found = pictures.side_by_side({ref: self.pictures(ref) for ref in refs}, step)
        return pictures.most_disagreed_first(map(self._disagreements.told, found))

    def picture(self, ref: JobRef, picture: Picture) -> bytes:
        """One picture's file. Raises MissingError: it may be missing for ever."""
        paths = ref.paths(self._place.prefix)
        if any("/" in name or name in (".", "..", "") for name in (picture.head, picture.file)):
            raise QueryError("a picture is named by its head and its file")
        return self._place.get(picture.key(paths)).data

    def model(self, ref: JobRef) -> Model | Trouble | None:
        """A job's final model; None before there is one. Raises StoreAwayError."""
        return model_of(self._place, ref)

    def version(self, namespace: str, project: str) -> str:
        """What changes whenever anything that is known of a project's jobs does."""
        known = self._index.known(namespace, project)
        latest = max((each.changed for each in known.values()), default=0.0)
        return f"{len(known)}-{latest}"

    def pulse(self, ref: JobRef, known: Pulse | None = None) -> Pulse:
        """How far a job's record has come, by a few requests and no reading of lines.

        Args:
            ref: Which.
            known: What the last one told.

        Raises:
            StoreAwayError: the store is away.
            StoreDeniedError: it lets nobody read.
        """
        return pulse(self._place, ref, known)

    def _course(
        self, ref: JobRef, max_age: float
    ) -> tuple[JobRef, Job | None, Course | None, list[Trouble]]:
        try:
            job = self.job(ref, max_age=min(max_age, _SUMMARY_AGE))
        except (MissingError, StoreAwayError, StoreDeniedError) as error:
            return ref, None, None, [Trouble(ref.folder, str(error))]
        found, told = self._courses.of(job, max_age)
        return ref, job, found, [*job.troubles, *told]

    def _compared(self, job: Job) -> tuple[Compared, list[Trouble]]:
        """What a job is compared by; what its summary lacks is read from what it measured."""
        summary, troubles = job.summary, list(job.troubles)
        if not job.is_summarised:
            found, told = self._courses.of(job, _LONG)
            summary = with_metrics(summary, found) if found else summary
            troubles += told
        return Compared(settings_of(job.document), dataset_of(job.document), summary), troubles

    def _line_index(self, ref: JobRef, attempt: int) -> LineIndex:
        with self._lock:
            while len(self._lines) >= _MOST_INDEXES:
                del self._lines[next(iter(self._lines))]
            return self._lines.setdefault((ref, attempt), LineIndex())
