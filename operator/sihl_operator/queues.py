"""The queues: who waits in each, in order, who has it, and why the others wait."""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from dataclasses import dataclass, field

from sihl_api.status import Phase
from sihl_api.texts import NAME_PATTERN, QUEUE_MAX_LENGTH
from sihl_api.trainingjob import QUEUE_ANNOTATION
from sihl_operator.views import JobView, Key, PodView

Reason = tuple[str, str]
"""Why a job waits: a condition's reason and message."""

OCCUPIED = ("WaitingForQueue", "Another job of the queue is active.")
BEHIND = ("WaitingForQueue", "Other jobs of the queue come first.")
NEXT = ("WaitingForQueue", "The job is the next of its queue.")
LEFT = ("WaitingForPod", "The pod of the queue's last job has not ended yet.")
TAKEN = ("PodNameTaken", "A pod that is not this operator's has the queue's pod name: delete it.")

_NAME = re.compile(NAME_PATTERN)


def unended(pod: PodView) -> Reason:
    """Why a pod that serves none of the queue's jobs any more is waited for."""
    if pod.owned or pod.deleting:
        return LEFT
    return "WaitingForPod", (
        f"The pod {pod.name} goes on with the job {pod.job_name}, which was deleted without it "
        "(--cascade=orphan): it ends when it is done. To have it save and end now: kubectl delete "
        f"pod --namespace {pod.namespace} {pod.name}"
    )


def kept(pod: PodView) -> Reason:
    """Why a pod that has ended, and was deleted, still has its name."""
    return "WaitingForPod", (
        f"The pod {pod.name} of the queue's last job has ended and was deleted, but is kept by its "
        f"finalizers: {', '.join(pod.finalizers)}. Whoever set them has to remove them."
    )


def order(job: JobView) -> tuple[int, float, str]:
    """Higher priority first, then who came first; the name breaks ties."""
    return -job.priority, job.created, job.name


def in_line(job: JobView) -> bool:
    """Whether a job waits, or is about to."""
    return (
        not job.active
        and not job.unwanted
        and job.phase in (None, Phase.QUEUED, Phase.STOPPED)
        and refusal(job) is None
    )


def refusal(job: JobView) -> Reason | None:
    """Why a job is not accepted, or None: its queue or its spec cannot be."""
    if fault := queue_fault(job.wanted_queue):
        return "InvalidQueue", fault
    return ("InvalidSpec", job.spec_fault) if job.spec_fault else None


def queue_fault(queue: str) -> str | None:
    """What is wrong with a queue's name, or None."""
    if len(queue) <= QUEUE_MAX_LENGTH and _NAME.fullmatch(queue):
        return None
    return (
        f"The annotation {QUEUE_ANNOTATION} names the queue {queue[:80]!r}: a queue's name has at "
        f"most {QUEUE_MAX_LENGTH} characters, lower-case letters, digits and '-', and starts and "
        "ends with a letter or digit. Change the annotation, or remove it to use the project's "
        "queue."
    )


@dataclass
class Queue:
    """One queue's jobs.

    Attributes:
        members: All of them, also those that have ended.
        line: Who waits, in order.
        placed: Who waits, and has a position in its status.
        active: Who has the queue: one, unless two operators chose differently.
    """

    members: set[Key] = field(default_factory=set)
    line: list[JobView] = field(default_factory=list)
    placed: set[Key] = field(default_factory=set)
    active: set[Key] = field(default_factory=set)


class Queues(dict[Key, Queue]):
    """Queues by (namespace, name), kept in order as jobs come and go."""

    def put(self, job: JobView) -> Key:
        """A job that is in none; returns its queue's key."""
        key = (job.namespace, job.queue)
        queue = self.setdefault(key, Queue())
        queue.members.add(job.key)
        if job.active:
            queue.active.add(job.key)
        elif in_line(job):
            insort(queue.line, job, key=order)
            if job.has_position:
                queue.placed.add(job.key)
        return key

    def take(self, job: JobView) -> Key:
        """The same view of the job that was put; returns its queue's key."""
        key = (job.namespace, job.queue)
        queue = self[key]
        queue.members.discard(job.key)
        queue.active.discard(job.key)
        queue.placed.discard(job.key)
        place = bisect_left(queue.line, order(job), key=order)
        if place < len(queue.line) and queue.line[place] is job:
            del queue.line[place]
        if not queue.members:
            del self[key]
        return key

    def active(self) -> list[Key]:
        """All jobs that have a queue."""
        return [key for queue in self.values() for key in queue.active]
