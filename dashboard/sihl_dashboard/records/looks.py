"""Looks at projects, one at a time each, for all who wait for it, in threads of their own; at jobs.

The first look at 10,000 jobs takes half a minute. Who does not want to wait is answered with what
is known so far, and the look goes on.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

from sihl_dashboard.records.errors import MissingError, StoreAwayError, StoreDeniedError, Trouble
from sihl_dashboard.records.index import Index
from sihl_dashboard.records.job import Job, job_of
from sihl_dashboard.records.place import Place
from sihl_dashboard.records.refresh import look, refresh
from sihl_dashboard.records.refs import JobRef, project_root

_AT_ONCE = 4
_MOST_PROJECTS = 1000


@dataclass(frozen=True)
class Look:
    """How current what is known of a project is.

    Attributes:
        at: When the last look ended, in seconds since 1970; 0 if none has.
        looked: How many jobs of those that may have changed the one under way has looked at.
        due: How many these are, 0 while that is not known.
        is_under_way: Whether one is.
        troubles: Of the last one that ended.
    """

    at: float = 0.0
    looked: int = 0
    due: int = 0
    is_under_way: bool = False
    troubles: tuple[Trouble, ...] = ()


@dataclass
class _Project:
    look: Look
    future: Future[None] | None = None


class Looks:
    """Thread-safe.

    Args:
        place: The store.
        index: What becomes known.
        pool: Reads several jobs at a time.
        clock: Seconds since 1970.
    """

    def __init__(
        self, place: Place, index: Index, pool: Executor, clock: Callable[[], float]
    ) -> None:
        self._place = place
        self._index = index
        self._pool = pool
        self._clock = clock
        self._lock = threading.Lock()
        self._projects: OrderedDict[tuple[str, str], _Project] = OrderedDict()
        self._threads = ThreadPoolExecutor(_AT_ONCE, "records-looks")

    def close(self) -> None:
        """Wait for the looks that are under way."""
        self._threads.shutdown(cancel_futures=True)

    def look(self, namespace: str, project: str, max_age: float, patience: float | None) -> Look:
        """Look at a project unless that was done a moment ago.

        Args:
            namespace: The project's.
            project: Its name.
            max_age: Seconds for which the last look will do.
            patience: Seconds to wait for a look; None waits for its end.

        Raises:
            QueryError: namespace or project can be no name.
        """
        project_root(self._place.prefix, namespace, project)
        with self._lock:
            told = self._projects.setdefault((namespace, project), _Project(Look()))
            self._projects.move_to_end((namespace, project))
            if len(self._projects) > _MOST_PROJECTS:
                self._projects.popitem(last=False)
            is_old = not 0 <= self._clock() - told.look.at < max_age
            if is_old and not told.look.is_under_way:
                told.look = replace(told.look, is_under_way=True, looked=0, due=0)
                told.future = self._threads.submit(self._looked, told, namespace, project)
            future = told.future if is_old else None
        if future is not None and wait([future], patience).done:
            future.result()
        return told.look

    def job(self, ref: JobRef, max_age: float) -> Job:
        """Look at one job unless that was done a moment ago, or it is final.

        Args:
            ref: Which.
            max_age: Seconds for which the last look will do.

        Raises:
            MissingError: there is no such record.
            StoreAwayError: the store is away, and nothing is known of the job.
            StoreDeniedError: likewise.
        """
        known, now = self._index.entry(ref), self._clock()
        troubles: tuple[Trouble, ...] = ()
        if known is None or not (known.known.final or 0 <= now - known.known.asked < max_age):
            try:
                new = look(self._place, ref, known.known if known else None, now)
                if new is not None:
                    self._index.put([new])
                else:
                    self._index.asked([ref], now)
                known = new or known
            except (StoreAwayError, StoreDeniedError) as error:
                if known is None:
                    raise
                troubles = (_trouble(self._place, error),)
        if known is None or not known.facts:
            raise MissingError(ref.paths(self._place.prefix).root)
        return job_of(known, ref.paths(self._place.prefix).job_json, troubles)

    def _looked(self, told: _Project, namespace: str, project: str) -> None:
        def progress(looked: int, due: int) -> None:
            told.look = replace(told.look, looked=looked, due=due)

        at, troubles = told.look.at, tuple[Trouble, ...]()
        try:
            found = refresh(
                self._place, self._index, self._pool, namespace, project, progress, self._clock
            )
            at, troubles = self._clock(), found.troubles
        except (StoreAwayError, StoreDeniedError) as error:
            troubles = (_trouble(self._place, error),)
        finally:
            told.look = Look(at, troubles=troubles)


def _trouble(place: Place, error: Exception) -> Trouble:
    """What the error says behind the place's name, which a trouble names itself."""
    return Trouble(place.name, str(error).removeprefix(place.name).lstrip(": "))
