"""What changed: each thing that somebody looks at is asked about once, for all who look at it.

A topic is a job, a project or the overview. It is asked about while anybody listens, and a little
longer; the more seldom the longer nothing has changed. Listeners are told that something is new,
never what: they ask for it, and get the answer that was made for the first of them.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sihl_dashboard.records import JobRef
from sihl_dashboard.server.refusals import RefusalError, UndecidedError

Document = dict[str, Any]
Ask = Callable[["Topic", Document], Awaitable[tuple[Document, float]]]
"""What is known of a topic now, given what was known before, and for how many seconds it may be
left alone when nothing changes. Raises RefusalError."""

MOST_TOPICS = 5000
_REST = 0.1
"""A topic is asked about again after this part of the time in which it has not changed."""
_AGAIN = 10.0
"""Seconds after which what could not be told is asked again."""


@dataclass(frozen=True)
class Topic:
    """What can be listened to.

    Args:
        kind: "overview", "project" or "job".
        namespace: "" for the overview.
        project: "" for the overview.
        folder: A job's; "" for others.
    """

    kind: str
    namespace: str = ""
    project: str = ""
    folder: str = ""

    @property
    def document(self) -> Document:
        """As an event names it."""
        named = {"namespace": self.namespace, "project": self.project, "job": self.folder}
        return {name: value for name, value in named.items() if value}

    @property
    def ref(self) -> JobRef:
        """Of a job."""
        return JobRef(self.namespace, self.project, self.folder)


@dataclass
class _Watched:
    document: Document = field(default_factory=dict)
    sequence: int = 0
    changed: float = 0.0
    asked: float = 0.0
    trouble: str | None = None
    interval: float = 0.0
    listeners: set[Listener] = field(default_factory=set)
    idle_since: float = 0.0
    task: asyncio.Task[None] | None = None
    nudged: asyncio.Event = field(default_factory=asyncio.Event)

    async def rest(self, least: float, linger: float) -> None:
        """Until it is to be asked about again; a nudge ends it, but not before `least` seconds."""
        await asyncio.sleep(least)
        left = self.interval - least
        with suppress(TimeoutError):
            await asyncio.wait_for(
                self.nudged.wait(), left if self.listeners else min(left, linger)
            )
        self.nudged.clear()


class Listener:
    """One stream: what it has not been told yet. It holds no more than its topics."""

    def __init__(self, topics: frozenset[Topic]) -> None:
        self.topics = topics
        self.due: set[Topic] = set()
        self._woken = asyncio.Event()

    def wake(self, topic: Topic) -> None:
        """Something is new."""
        self.due.add(topic)
        self._woken.set()

    async def wait(self, seconds: float) -> bool:
        """Whether anything is new, at latest after so long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), seconds)
        self._woken.clear()
        return bool(self.due)


class Hub:
    """All topics that somebody listens to.

    Args:
        ask: Tells of a topic.
        fastest: Seconds between two questions about the same.
        linger: For how many seconds a topic is asked about that nobody listens to any longer.
    """

    def __init__(self, ask: Ask, fastest: float = 2.0, linger: float = 20.0) -> None:
        self._ask = ask
        self.fastest = fastest
        self._linger = linger
        self._topics: dict[Topic, _Watched] = {}
        self._epoch = secrets.token_hex(4)
        self._sequence = 0
        self.listeners = 0

    def listen(self, topics: Iterable[Topic], last: str = "") -> Listener:
        """Begin to listen; what has changed since the event of that id is due at once.

        Raises:
            UndecidedError: too much is listened to already.
        """
        listener = Listener(frozenset(topics))
        new = [topic for topic in listener.topics if topic not in self._topics]
        if len(self._topics) + len(new) > MOST_TOPICS:
            raise UndecidedError("the dashboard has too many listeners", "close some of its tabs")
        seen = self._seen(last)
        self.listeners += 1
        for topic in listener.topics:
            watched = self._topics.setdefault(topic, _Watched())
            watched.listeners.add(listener)
            if watched.document and watched.sequence > seen:
                listener.wake(topic)
            if watched.task is None:
                watched.task = asyncio.create_task(self._follow(topic, watched))
        return listener

    def leave(self, listener: Listener) -> None:
        """End listening."""
        self.listeners -= 1
        for topic in listener.topics:
            if watched := self._topics.get(topic):
                watched.listeners.discard(listener)
                watched.idle_since = time.monotonic()
                if not watched.listeners:
                    watched.nudged.set()  # else it would be kept for as long as it may rest

    def nudge(self, topic: Topic) -> None:
        """Something may be new: do not wait until it is time to ask."""
        if watched := self._topics.get(topic):
            watched.nudged.set()

    @property
    def topics(self) -> int:
        """How many are asked about."""
        return len(self._topics)

    def event(self, topic: Topic) -> tuple[str, Document]:
        """An id and what to tell of a topic now."""
        watched = self._topics[topic]
        return (
            f"{self._epoch}-{watched.sequence}",
            {**topic.document, **watched.document, "trouble": watched.trouble},
        )

    async def close(self) -> None:
        """Stop asking, and let listeners know."""
        tasks = [watched.task for watched in self._topics.values() if watched.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for topic, watched in self._topics.items():
            for listener in list(watched.listeners):
                listener.wake(topic)

    # --- versions of answers -----------------------------------------------------------------

    def of_jobs(self, refs: Sequence[JobRef]) -> str | None:
        """What changes with any of these jobs; None if one is not listened to."""
        return self._of([Topic("job", r.namespace, r.project, r.folder) for r in refs])

    def of_project(self, namespace: str, project: str) -> str | None:
        """What changes with any of a project's jobs; None if nobody listens."""
        return self._of([Topic("project", namespace, project)])

    def age(self, refs: Sequence[JobRef]) -> float:
        """Seconds since the newest change of these: what was read later than that has it."""
        now = time.monotonic()
        found = [self._topics.get(Topic("job", r.namespace, r.project, r.folder)) for r in refs]
        return min((now - each.changed for each in found if each is not None), default=0.0)

    def _of(self, topics: Sequence[Topic]) -> str | None:
        now = time.monotonic()
        told = []
        for topic in topics:
            watched = self._topics.get(topic)
            if watched is None or not watched.document or watched.trouble is not None:
                return None
            if now - watched.asked > watched.interval + 2 * self.fastest:
                return None  # the store is slow, or the loop is: nobody knows
            told.append(str(watched.sequence))
        return f"{self._epoch}-{'.'.join(told)}"

    # --- following ---------------------------------------------------------------------------

    def _seen(self, last: str) -> int:
        epoch, _, sequence = last.partition("-")
        is_ours = epoch == self._epoch and sequence.isdecimal() and len(sequence) < 16
        return int(sequence) if is_ours else -1

    async def _follow(self, topic: Topic, watched: _Watched) -> None:
        while watched.listeners or time.monotonic() - watched.idle_since < self._linger:
            document, trouble, rest = watched.document, None, _AGAIN
            try:
                document, rest = await self._ask(topic, watched.document)
            except RefusalError as error:
                trouble = error.message
            except Exception as error:
                trouble = f"the dashboard failed at it ({type(error).__name__})"
            watched.asked = time.monotonic()
            if (document, trouble) != (watched.document, watched.trouble):
                self._sequence += 1
                watched.document, watched.trouble = document, trouble
                watched.sequence, watched.changed = self._sequence, watched.asked
                for listener in list(watched.listeners):
                    listener.wake(topic)
            unchanged = watched.asked - watched.changed
            watched.interval = max(self.fastest, min(_REST * unchanged, rest))
            await watched.rest(self.fastest, self._linger)
        if self._topics.get(topic) is watched:
            del self._topics[topic]
