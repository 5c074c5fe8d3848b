"""Since when this process has seen what is so: every time-out runs from there.

The clocks of two machines differ, by hours where nobody looks after them, and are put right at any
time: what another machine wrote is never held against a clock of this one. Only a clock that does
nothing but go on is asked, and only for how long this process has seen a thing. It has happened
earlier, so no time-out is ever too short; one begins anew for a process that has just started.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

from sihl_api.status import Phase
from sihl_operator.queues import in_line
from sihl_operator.views import JobView, PodView


@dataclass(frozen=True)
class Clocks:
    """What a process knows of the time.

    Attributes:
        wall: Seconds since 1970, for people to read: it may be wrong, and jump.
        monotonic: Seconds that go on evenly, from any beginning: time-outs are counted by these.
    """

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class Ages:
    """For how many seconds this process has seen what is so; 0 for what is not.

    Attributes:
        attempt: The job has its current attempt.
        obstacle: What its status tells is in the job's way.
        tried: A node has the attempt's pod; where none has it yet, a scheduler looks for one.
        progress: So many containers of the attempt's pod have ended, and no more.
        deleting: The pod is being deleted.
        decided: What the pod is there for has ended.
        heard: What others say of the pod has been asked for; infinite where it never was.
        finished: The job has Succeeded, or Failed.
    """

    attempt: float = 0.0
    obstacle: float = 0.0
    tried: float = 0.0
    progress: float = 0.0
    deleting: float = 0.0
    decided: float = 0.0
    heard: float = math.inf
    finished: float = 0.0


UNSEEN = Ages()


class Sightings:
    """What is so of each object, and since when it was seen to be.

    Args:
        clock: Seconds that go on evenly.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[str, dict[Hashable, float]] = {}

    def saw_job(self, job: JobView) -> None:
        """A job as it is now."""
        self.note(job.uid, *_of_job(job))

    def saw_pod(self, pod: PodView) -> None:
        """A pod as it is now."""
        self.note(pod.uid, *_of_pod(pod))

    def note(self, uid: str, *facts: Hashable) -> None:
        """All that is so of an object now: what was so before keeps its time."""
        known, now = self._since.get(uid, {}), self._clock()
        self._since[uid] = {fact: known.get(fact, now) for fact in facts}

    def age(self, uid: str, fact: Hashable) -> float:
        """Seconds since something was first seen to be so of an object; 0 where it is not so."""
        since = self._since.get(uid, {}).get(fact)
        return 0.0 if since is None else self._clock() - since

    def forget(self, uid: str) -> None:
        """An object that is gone."""
        self._since.pop(uid, None)

    def ages(self, job: JobView | None, pod: PodView | None) -> Ages:
        """Of a job and of the pod that serves it, without what others say of the pod."""
        attempt = 0.0 if job is None else self.age(job.uid, ("attempt", job.attempt))
        obstacle = 0.0 if job is None else self.age(job.uid, _obstacle(job))
        if pod is None:
            return Ages(attempt, obstacle, finished=self._finished(job))
        return Ages(
            attempt,
            obstacle,
            finished=self._finished(job),
            tried=min(attempt, self.age(pod.uid, _where(pod))),
            progress=min(attempt, self.age(pod.uid, ("ended", pod.containers_ended))),
            deleting=self.age(pod.uid, "deleting"),
            decided=self.age(pod.uid, "decided"),
        )

    def _finished(self, job: JobView | None) -> float:
        return 0.0 if job is None else self.age(job.uid, ("finished", job.phase, job.attempt))

    def waited(self, job: JobView) -> float:
        """For how many seconds a job has been seen to wait in its queue."""
        return self.age(job.uid, "waits")

    def backoff(self, job: JobView) -> float:
        """For how many seconds a job is held back yet."""
        if job.retry_after is None:
            return 0.0
        return max(0.0, job.backoff - self.age(job.uid, job.retry_after))


def _of_job(job: JobView) -> Iterator[Hashable]:
    """What is so of a job that something is counted from."""
    if job.active:
        yield "attempt", job.attempt
    elif in_line(job):
        yield "waits"
    elif job.phase in (Phase.SUCCEEDED, Phase.FAILED):
        yield "finished", job.phase, job.attempt
    if job.retry_after is not None:
        yield job.retry_after
    if job.stored_status.get("obstacle"):
        yield _obstacle(job)


def _obstacle(job: JobView) -> Hashable:
    met = job.stored_status.get("obstacle") or {}
    return "obstacle", met.get("reason"), met.get("since")


def _of_pod(pod: PodView) -> Iterator[Hashable]:
    yield _where(pod)
    yield "ended", pod.containers_ended
    if pod.deleting:
        yield "deleting"
    if pod.decided:
        yield "decided"


def _where(pod: PodView) -> Hashable:
    """Who has the pod: a node, a scheduler, or whoever set its gates."""
    return "node", pod.node, pod.gates
