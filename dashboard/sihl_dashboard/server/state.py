"""What all requests share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web

from sihl_dashboard.records import (
    JobRef,
    MissingError,
    QueryError,
    Records,
    SettingsError,
    StoreAwayError,
    StoreDeniedError,
)
from sihl_dashboard.server import pulses
from sihl_dashboard.server.access import Access
from sihl_dashboard.server.answers import Answer, Answers, Key, answer_of, encoded
from sihl_dashboard.server.cluster import Cluster
from sihl_dashboard.server.hub import Hub, Topic
from sihl_dashboard.server.kept import Kept
from sihl_dashboard.server.live import Live
from sihl_dashboard.server.meters import Meters
from sihl_dashboard.server.people import People, Person
from sihl_dashboard.server.refusals import (
    BadRequestError,
    NotThereError,
    RefusalError,
    StoreUnreadableError,
)
from sihl_dashboard.server.stores import Stores

if TYPE_CHECKING:
    from sihl_dashboard.server.actions import Actor

T = TypeVar("T")
Document = dict[str, Any]
_READERS, _OF_A_NAMESPACE = 16, 6
"""Threads, and how many of them may wait for one namespace's store: another's must not."""
_NAMESPACES_AGE = 5.0


@dataclass
class State:
    """One server's parts.

    Attributes:
        cluster: Its jobs and nodes; None where only records are shown.
        actor: Acts for a person; None where nothing can be acted on.
        ask_again: Seconds after which an open stream's person is asked for again.
        is_closing: Whether the server ends: streams do too.
    """

    stores: Stores
    people: People
    access: Access
    cluster: Cluster | None = None
    actor: Actor | None = None
    answers: Answers = field(default_factory=Answers)
    meters: Meters = field(default_factory=Meters)
    readers: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_READERS, "dashboard-reads")
    )
    ask_again: float = 5.0
    is_closing: bool = False
    hub: Hub = field(init=False)
    _namespaces: Kept[str, list[str]] = field(
        default_factory=lambda: Kept(lambda _: _NAMESPACES_AGE)
    )
    _turns: dict[str, asyncio.Semaphore] = field(default_factory=dict)
    _begun: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.hub = Hub(lambda topic, known: pulses.ask(self, topic, known))
        if self.cluster is not None:
            self.cluster.on_job = self._nudge

    def _nudge(self, live: Live) -> None:
        names = (live.namespace, live.project)
        self.hub.nudge(Topic("project", *names))
        self.hub.nudge(Topic("job", *names, live.folder))

    async def run(self, work: Callable[[], T]) -> T:
        """Do something that takes long in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.readers, work)

    async def namespaces(self) -> list[str]:
        """Those that may have records. Raises StoreUnreadableError."""

        def ask() -> list[str]:
            with told():
                return self.stores.namespaces()

        return await self._namespaces.get("", lambda: self.run(ask))

    def close(self) -> None:
        """Let go of what is read."""
        self.readers.shutdown(cancel_futures=True)
        self.stores.close()

    def live_of(self, ref: JobRef) -> Live | None:
        """What the cluster says of a job now."""
        return self.cluster.live_of(ref) if self.cluster else None

    def project_of(self, namespace: str, project: str) -> dict[str, Live]:
        """The cluster's jobs of a project, by their records' folders."""
        found = (live for live in self.jobs_of(namespace) if live.project == project)
        return {live.folder: live for live in found}

    def jobs_of(self, namespace: str) -> list[Live]:
        """The cluster's jobs of a namespace."""
        return self.cluster.jobs_of(namespace) if self.cluster else []

    async def read(self, namespace: str, work: Callable[[Records], T]) -> T:
        """Ask a namespace's records something, in a thread. Raises RefusalError."""

        def ask() -> T:
            with told():
                return work(self.stores.of(namespace))

        turns = self._turns.setdefault(namespace, asyncio.Semaphore(_OF_A_NAMESPACE))
        try:
            async with turns:
                return await self.run(ask)
        except StoreUnreadableError:
            self.meters.store_away.inc()
            raise

    async def answered(
        self,
        key: Key,
        namespace: str,
        work: Callable[[Records], Document],
        version: str | None = None,
        max_age: float = 1.0,
        refs: Sequence[JobRef] = (),
    ) -> Answer:
        """The JSON of what a namespace's records answer, shared by all who ask the same.

        Args:
            key: The question.
            namespace: Whose records.
            work: Answers it.
            version: Of what it asks about; None if nobody knows it now.
            max_age: Seconds for which an answer will do while nobody knows a version.
            refs: The jobs that it is about, and nothing else.
        """

        def answer(records: Records) -> Answer:
            were_final = bool(refs) and records.are_final(refs)  # before anything is read of them
            document = work(records)
            made = answer_of(encoded(document), version=version)
            return replace(made, is_final=were_final and not document.get("troubles"))

        return await self.answers.get(key, version, lambda: self.read(namespace, answer), max_age)

    def ahead(self, work: Coroutine[Any, Any, object]) -> None:
        """Begin what will be asked for next; what is wrong with it is told when it is."""

        async def begin() -> None:
            with suppress(RefusalError):
                await work

        task = asyncio.create_task(begin())
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)


@contextmanager
def told() -> Iterator[None]:
    """Turns what the records raise into what a request is refused with. Raises RefusalError."""
    try:
        yield
    except MissingError as error:
        raise NotThereError from error
    except QueryError as error:
        raise BadRequestError(str(error), "correct the address") from error
    except (StoreAwayError, StoreDeniedError, SettingsError) as error:
        raise StoreUnreadableError(str(error)) from error


STATE = web.AppKey("state", State)
PERSON: ContextVar[Person] = ContextVar("person")
"""Who asks; the guard sets it for the handler that it lets run."""


def state_of(request: web.Request) -> State:
    """Of the server that got the request."""
    return request.app[STATE]


def person_of(_: web.Request) -> Person:
    """Who made the request that is being handled."""
    return PERSON.get()
