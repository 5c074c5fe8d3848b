"""The acts: what was decided is carried out, at most one act at a time for each job.

Everything that an act learns goes back into the world; one that fails half-way is taken up by the
next round, of this operator or of the next leader.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from sihl_api.logs import about
from sihl_api.status import TrainingJobStatus
from sihl_operator import status as say
from sihl_operator.attempts import SOON_SECONDS, Attempts
from sihl_operator.decision import Decision, Deletion, Notice
from sihl_operator.events import Allowance, milestone
from sihl_operator.kube import ApiError, ConflictError, NotFoundError, UnavailableError
from sihl_operator.queues import Reason
from sihl_operator.refusals import lacking
from sihl_operator.settings import Settings
from sihl_operator.views import JobView, Key
from sihl_operator.world import World
from sihl_operator.writes import Writes

log = logging.getLogger(__name__)


class Acts:
    """Those that are under way.

    Args:
        world: Told what is to be decided anew, now that an act has ended.
        writes: What is asked of the API server.
        attempts: Begins them.
        settings: The operator's.
        clock: Seconds since 1970, for people to read.
        wake: Called whenever an act has ended.
    """

    def __init__(
        self,
        world: World,
        writes: Writes,
        attempts: Attempts,
        settings: Settings,
        clock: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self.busy: set[Key] = set()
        """Jobs, and pods in a queue's way, that an act is under way for."""
        self.starting: dict[Key, Key] = {}
        """Jobs that are being admitted, and their queues: they hold both queue and room already."""
        self.resting: set[Key] = set()
        """Jobs whose act the API server refused: they hold up nobody until they are tried again."""
        self.lacking: dict[Key, Reason] = {}
        """Why a pod in a queue's way is not deleted: the operator's role does not let it."""
        self._world = world
        self._writes = writes
        self._attempts = attempts
        self._settings = settings
        self._clock = clock
        self._wake = wake
        self._allowance = Allowance()
        self._tasks: set[asyncio.Task[None]] = set()

    def admit(self, job: JobView) -> None:
        """Begin the job's next attempt; where an act is under way for it, that comes first."""
        if job.key not in self.busy:
            self.starting[job.key] = (job.namespace, job.queue)
            self._begin(job.key, self._admit(job))

    def carry_out(self, job: JobView, decision: Decision) -> None:
        """Do what was decided for a job."""
        self._begin(job.key, self._carry_out(job, decision))

    def write(self, job: JobView, new: TrainingJobStatus) -> None:
        """Have a job's status written."""
        self.carry_out(job, Decision(status=new))

    def send_away(self, deletion: Deletion) -> None:
        """Delete a pod that is in its queue's way."""
        key = (deletion.namespace, deletion.name)
        self._begin(key, self._writes.delete(deletion))

    def rest(self, job: JobView) -> None:
        """Leave a job alone for a while."""
        self._begin(job.key, self._rest(job.key))

    # --- one at a time -----------------------------------------------------------------------

    def _begin(self, key: Key, act: Coroutine[Any, Any, None]) -> None:
        if key in self.busy:
            act.close()
            return
        self.busy.add(key)
        task = asyncio.create_task(self._guarded(key, act))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, key: Key, act: Coroutine[Any, Any, None]) -> None:
        """An act, and what its failure costs: its job rests until it may be tried again."""
        job = self._world.jobs.get(key)
        with about(job.told) if job is not None else contextlib.nullcontext():
            await self._ventured(key, act)

    async def _ventured(self, key: Key, act: Coroutine[Any, Any, None]) -> None:
        try:
            await act
        except ConflictError:
            await self._writes.reread(key)
        except NotFoundError:
            self._world.lose_job(key)
        except UnavailableError as error:
            log.warning("%s/%s: %s; trying again", *key, error)
            await asyncio.sleep(max(SOON_SECONDS, error.pause))
        except ApiError as error:
            log.error("%s/%s: the API server refuses: %s", *key, error)
            await self._tell_lacking(key, error)
            await self._rest(key)
        except Exception:
            log.exception("%s/%s: acting failed; trying again", *key)
            await self._rest(key)
        else:
            self.lacking.pop(key, None)
        finally:
            self.busy.discard(key)
            self._world.dirty.add(key)
            self._ask_queue_of(key)
            if (pod := self._world.pods.get(key)) is not None:  # an act on a pod in a queue's way
                self._world.dirty_queues.add((pod.namespace, pod.queue))

    async def _tell_lacking(self, key: Key, error: ApiError) -> None:
        """What the operator's role lacks is said by the job, or by those that wait for a pod."""
        end, job = lacking(error.status, error.message), self._world.jobs.get(key)
        if end is not None and job is not None:
            await self._writes.lacking(job, end)
        elif end is not None:
            self.lacking[key] = (end.reason, end.message)

    async def _rest(self, key: Key) -> None:
        """Out of its line meanwhile, so that it holds up nobody."""
        self.resting.add(key)
        self._ask_queue_of(key)
        await asyncio.sleep(self._settings.retry_backoff)
        self.resting.discard(key)

    def _ask_queue_of(self, key: Key) -> None:
        job = self._world.jobs.get(key)
        if job is not None:
            self._world.dirty_queues.add((job.namespace, job.queue))
        self._wake()

    # --- what is done ------------------------------------------------------------------------

    async def _admit(self, job: JobView) -> None:
        """An attempt's number by compare-and-swap, then its pod."""
        before = job
        try:
            job = await self._writes.status(job, say.starting(job, self._clock()))
        finally:
            # Asked whatever became of the job: one that was deleted meanwhile asks for nobody.
            self._world.dirty_queues.add(self.starting.pop(job.key))
        await self._attempts.begin(job)
        if (known := self._world.jobs.get(job.key)) is not None and known.phase is job.phase:
            await self._announce(job, milestone(before, job))

    async def _carry_out(self, job: JobView, decision: Decision) -> None:
        """Status first, then the pod: a crash between the two is harmless."""
        if decision.confirm_absent and await self._is_there(job, decision.confirm_absent):
            return
        before = job
        if decision.status is not None:
            job = await self._writes.status(job, decision.status)
            if not job.active:
                self._attempts.over(before)
        if decision.delete is not None:
            await self._writes.delete(decision.delete)
        if decision.expire:
            await self._writes.expire(job)
            return
        if decision.inquire is not None:
            await self._writes.inquire(decision.inquire)
        if decision.create:
            await self._attempts.create(job)
        if decision.notice is not None:
            await self._writes.announce(job, decision.notice)
        else:
            await self._announce(job, milestone(before, job))

    async def _announce(self, job: JobView, notice: Notice | None) -> None:
        """What goes well is told by an event too, where there is time for it."""
        if notice is not None and self._allowance.take(self._clock()):
            await self._writes.announce(job, notice)

    async def _is_there(self, job: JobView, name: str) -> bool:
        """Ask the API server itself whether the attempt's pod is really absent."""
        pod = await self._writes.pod((job.namespace, name))
        return pod is not None and pod.serves(job)
