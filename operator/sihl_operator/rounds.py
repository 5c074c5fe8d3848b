"""The rounds: what changed -> decide -> start the acts; again and again. Only the leader's run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from functools import partial

from sihl_api.runtime import ProgressReport
from sihl_api.status import Phase
from sihl_api.traces import Traces, Untraced
from sihl_operator.acts import Acts
from sihl_operator.alarms import Alarms
from sihl_operator.attempts import Attempts
from sihl_operator.endings import Ending
from sihl_operator.heads import Asked, Heads
from sihl_operator.kube import Api
from sihl_operator.metrics import Metrics
from sihl_operator.pod import demand
from sihl_operator.queues import BEHIND, NEXT, OCCUPIED, in_line
from sihl_operator.scheduling import POSITIONS, Verdict, admit
from sihl_operator.settings import Settings
from sihl_operator.sightings import Clocks
from sihl_operator.steps import Steps
from sihl_operator.views import JobView, Key, PodView
from sihl_operator.world import World
from sihl_operator.writes import Writes

log = logging.getLogger(__name__)

_RETRY_SECONDS = 2.0
_TOGETHER_SECONDS = 0.005
"""What changes within this time is decided on together: a round costs more than an event."""
_LONGEST_PAUSE = 10.0
"""Between two beats of the heart, though nothing is due."""


class Rounds:
    """Decides, and has it done.

    Args:
        world: What is known.
        api: The API server.
        settings: The operator's.
        metrics: Told what happened.
        clocks: What time it is.
        entitled: Whether this replica holds the lead at this moment.
        traces: Told what came to an end.
    """

    def __init__(
        self,
        world: World,
        api: Api,
        settings: Settings,
        metrics: Metrics,
        clocks: Clocks,
        entitled: Callable[[], bool],
        traces: Traces | None = None,
    ) -> None:
        self.world = world
        self._clock = clocks.monotonic
        self.heartbeat = self._clock()
        """Seconds of the monotonic clock."""
        self._settings = settings
        self._metrics = metrics
        self._entitled = entitled
        self._began = False
        self._wake = asyncio.Event()
        self._writes = Writes(world, api, metrics, clocks, traces or Untraced())
        self._attempts = Attempts(world, api, self._writes, settings, clocks.wall)
        self._acts = Acts(world, self._writes, self._attempts, settings, clocks.wall, self.wake)
        self._alarms = Alarms()
        self._heads = Heads(world, self._acts, self._alarms, settings)
        self._steps = Steps(world, self._acts, self._attempts, self._alarms, settings, clocks.wall)

    @property
    def leading(self) -> bool:
        """Whether to act: asked before each round, since a process may sleep between two."""
        return self._began and self._entitled()

    def wake(self) -> None:
        """Something changed."""
        self._wake.set()

    def lead(self) -> None:
        """Begin to act: decide on everything."""
        self._attempts.forget_all()
        self._writes.forget_all()
        self.world.touch_everything()
        self._began = True
        self.wake()

    def follow(self) -> None:
        """Stop acting."""
        self._began = False

    async def run(self) -> None:
        """Rounds for ever; between them, wait for a change or for something that is due."""
        while True:
            self.heartbeat = self._clock()
            try:
                async with asyncio.timeout(self._pause()):
                    await self._wake.wait()
                await asyncio.sleep(_TOGETHER_SECONDS)
            except TimeoutError:
                pass
            self._wake.clear()
            if not self.leading:  # whoever begins to lead decides on everything
                self.world.dirty.clear()
                self.world.dirty_queues.clear()
                self._steps.forget_all()
                continue
            with self._metrics.decisions.time():
                try:
                    self.round()
                except Exception:
                    log.exception("a round of decisions failed; the next one starts afresh")
                    await asyncio.sleep(_RETRY_SECONDS)
                    self.world.touch_everything()
                    self.wake()

    def _pause(self) -> float:
        if not self.leading:  # whoever does not lead hears no alarm
            return _LONGEST_PAUSE
        return min(_LONGEST_PAUSE, max(0.01, self._alarms.next - self._clock()))

    def round(self) -> None:
        """Decide on what changed and on what is due; start the acts."""
        now = self._clock()
        # 1. Take what changed, and what is due by now.
        jobs, asked = self._take_changed(now)
        # 2. Who does not wait in a line is decided on alone; a line is asked as a whole.
        for job in jobs:
            if in_line(job):
                asked.setdefault((job.namespace, job.queue), set()).add(job.key)
            else:
                self._steps.take(job, now)
        if not (asked or self.world.occupancy.changed):
            return
        self.world.occupancy.changed = False
        # 3. Ask the queues that are free for who is next, and the others why they are not.
        queues = self._heads.ask(asked, now)
        # 4. See for whom there is room.
        heads = [queue.head for queue in queues if queue.head is not None]
        verdicts = self._verdicts(heads)
        # 5. Start those.
        self._admit(verdicts)
        # 6. Who did not start is asked again whenever room is given to another.
        self._heads.started(heads)
        # 7. Tell who waits why, and in which place.
        told = {verdict.job.key: verdict for verdict in verdicts}
        for queue in queues:
            self._tell(queue, told, now)

    # --- 1: what changed ---------------------------------------------------------------------

    def _take_changed(self, now: float) -> tuple[list[JobView], dict[Key, set[Key]]]:
        """Jobs, and queues without any yet, in the same order always: a history can be played."""
        for what, key in self._alarms.ring(now):
            (self.world.dirty if what == "job" else self.world.dirty_queues).add(key)
        dirty, self.world.dirty = self.world.dirty, set()
        queues, self.world.dirty_queues = self.world.dirty_queues, set()
        jobs = []
        for key in sorted(dirty):
            job = self.world.jobs.get(key)
            if job is not None:
                jobs.append(job)
            else:
                self._steps.forget(key)
                self._writes.forget(key)
        return jobs, {queue: set() for queue in queues}

    # --- 4 and 5: who has room ---------------------------------------------------------------

    def _verdicts(self, heads: Collection[JobView]) -> list[Verdict]:
        if not heads:
            return []
        room = self.world.room(self._acts.starting, self._settings)
        wanted = partial(demand, settings=self._settings)
        return admit(heads, room, wanted, self.world.seen.waited, self._settings)

    def _admit(self, verdicts: Collection[Verdict]) -> None:
        """Who came first starts first, whichever write is answered first: only who is Queued."""
        for verdict in verdicts:
            if verdict.admitted and verdict.job.phase is Phase.QUEUED:
                self._acts.admit(verdict.job)

    # --- 7: who waits ------------------------------------------------------------------------

    def _tell(self, asked: Asked, verdicts: dict[Key, Verdict], now: float) -> None:
        """Positions and reasons for those who wait; the rest of a long queue is left in peace."""
        queue = asked.queue
        shown = queue.line[:POSITIONS]
        for position, job in enumerate(shown, start=1):
            verdict = verdicts.get(job.key)
            reason = BEHIND if asked.why == OCCUPIED and position > 1 else asked.why
            if verdict is not None and verdict.admitted:
                if job.phase is Phase.QUEUED:
                    continue
                reason = NEXT
            elif verdict is not None:
                reason = verdict.reason, verdict.message
                if (left := self._settings.reserve_after - self.world.seen.waited(job)) > 0:
                    self._alarms.set(now + left, job.key)
            self._steps.take(job, now, (position, reason))
        for key in sorted((queue.placed | asked.changed) - {job.key for job in shown}):
            self._steps.take(self.world.jobs[key], now, (None, BEHIND))

    # --- beside the rounds -------------------------------------------------------------------

    async def tell_blind(self, end: Ending) -> None:
        """What the operator's role lacks to see the cluster is said by all who wait.

        Raises:
            ApiError: The jobs cannot be listed either.
        """
        await self._writes.lacking_for_all(end)

    def tell_progress(self, job: JobView, pod: PodView, report: ProgressReport) -> None:
        """Write what a pod said of its progress, if it is news."""
        if self.leading:
            self._steps.tell_progress(job, pod, report)
