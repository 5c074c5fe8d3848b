"""Who is next in each queue that is asked; where nobody is, why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sihl_operator.acts import Acts
from sihl_operator.alarms import Alarms
from sihl_operator.decision import Deletion
from sihl_operator.lifecycle import patience_left
from sihl_operator.queues import BEHIND, OCCUPIED, TAKEN, Queue, Reason, kept, unended
from sihl_operator.settings import Settings
from sihl_operator.views import JobView, Key, PodView, pod_name
from sihl_operator.world import World

_NOBODY = Queue()


@dataclass
class Asked:
    """A queue that a round asks for who is next.

    Attributes:
        queue: It.
        changed: Who waits in it and is not as it was.
        head: Who is next, if the queue is free and somebody may start.
        why: Why those who wait do.
    """

    queue: Queue
    changed: set[Key] = field(default_factory=set)
    head: JobView | None = None
    why: Reason = BEHIND


class Heads:
    """Asks the queues.

    Args:
        world: What is known.
        acts: Those under way: whom they are for is left alone, or has the queue already.
        alarms: Set where a queue is to be asked again.
        settings: The operator's.
    """

    def __init__(self, world: World, acts: Acts, alarms: Alarms, settings: Settings) -> None:
        self._world = world
        self._acts = acts
        self._alarms = alarms
        self._settings = settings
        self._short: set[Key] = set()
        """Queues whose next job did not start: asked again whenever room is given to another."""

    def ask(self, changed: dict[Key, set[Key]], now: float) -> list[Asked]:
        """The queues to ask, those among them that lacked room, each with its head."""
        asked = changed | {queue: set() for queue in self._short - changed.keys()}
        found = []
        for key in sorted(asked):
            queue = self._world.queues.get(key, _NOBODY)
            reason = self._occupant(key, queue, now)
            first = next((job for job in queue.line if self._may_start(job)), None)
            if reason is None and first is not None:
                found.append(Asked(queue, asked[key], first))
            else:
                found.append(Asked(queue, asked[key], None, reason or OCCUPIED))
        return found

    def started(self, heads: Iterable[JobView]) -> None:
        """Of those who were next, all have been admitted for whom there was room."""
        self._short = {
            (job.namespace, job.queue) for job in heads if job.key not in self._acts.starting
        }

    def _may_start(self, job: JobView) -> bool:
        return job.key not in self._acts.resting and not self._world.seen.backoff(job)

    def _occupant(self, key: Key, queue: Queue, now: float) -> Reason | None:
        """Why a queue is not free, or None. A pod that serves no current attempt is sent away."""
        if queue.active or key in self._acts.starting.values():
            return OCCUPIED
        name = (key[0], pod_name(key[1]))
        if name in self._world.foreign:
            return TAKEN
        pod = self._world.pods.get(name)
        if pod is not None and pod.kept:
            return kept(pod)
        if pod is None or pod.ended:
            return None
        self._send_away(pod, key, now)
        return self._acts.lacking.get(pod.key) or unended(pod)

    def _send_away(self, pod: PodView, queue: Key, now: float) -> None:
        if pod.deleting:
            left = patience_left(pod, self._world.ages(None, pod), self._settings)
            if left > 0:
                self._alarms.set(now + left, queue, "queue")
            else:
                self._acts.send_away(Deletion.of(pod, grace=0))
        elif self._world.job_of(pod) is not None:  # one that is gone takes its pod along by itself
            self._acts.send_away(Deletion.of(pod))
