"""An attempt begins: its number first, then its pod, or whatever stands in the pod's way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from sihl_operator import status as say
from sihl_operator.decision import Deletion
from sihl_operator.endings import Ending, Verdict
from sihl_operator.kube import AlreadyExistsError, Api, ApiError, UnavailableError
from sihl_operator.moment import Moment
from sihl_operator.pod import render_pod
from sihl_operator.queues import OCCUPIED, TAKEN, kept, unended
from sihl_operator.refusals import definite, refusal
from sihl_operator.settings import Settings
from sihl_operator.starts import refused_by_api
from sihl_operator.views import JobView, Key, pod_name
from sihl_operator.world import World
from sihl_operator.writes import Writes

log = logging.getLogger(__name__)

SOON_SECONDS = 2.0
"""After which an API server that did not answer is asked again."""


class Attempts:
    """Begins attempts.

    Args:
        world: What is known; told of each pod.
        api: Asked for the pods.
        writes: Everything else that is asked of the API server.
        settings: The operator's.
        clock: Seconds since 1970, for people to read.
    """

    def __init__(
        self,
        world: World,
        api: Api,
        writes: Writes,
        settings: Settings,
        clock: Callable[[], float],
    ) -> None:
        self._world = world
        self._api = api
        self._writes = writes
        self._settings = settings
        self._clock = clock
        self._creating: set[tuple[str, int]] = set()
        """Attempts that this process has admitted, and whose pods it has not made yet."""

    def forget_all(self) -> None:
        """Another replica has led: it may have made what was to be made here."""
        self._creating.clear()

    def creating(self, job: JobView) -> bool:
        """Whether this process has admitted the current attempt and not made its pod yet."""
        return (job.uid, job.attempt) in self._creating

    def over(self, job: JobView) -> None:
        """The current attempt has its pod, or will have none: never again under its number."""
        self._creating.discard((job.uid, job.attempt))

    async def begin(self, job: JobView) -> None:
        """The attempt that the job has just been admitted for. Raises as `create` does."""
        self._creating.add((job.uid, job.attempt))
        await self.create(job)

    async def create(self, job: JobView) -> None:
        """Create the pod of the current attempt, or find out who has its name.

        Raises:
            ApiError: It is not created as far as is known, and that is not the job's fault.
        """
        key = (job.namespace, pod_name(job.queue))
        if job.spec_fault:  # what was valid when it was admitted: the operator has been upgraded
            await self._refused(job, 422, job.spec_fault)
            return
        pod = render_pod(job, job.attempt, job.queue, self._settings)
        occupant = self._world.pods.get(key)
        if occupant is not None and occupant.ended and not occupant.gone:
            await self._writes.delete(Deletion.of(occupant, grace=0))
        try:
            created = await self._api.create_pod(pod)
        except AlreadyExistsError:
            await self._name_taken(job, key)
        except ApiError as error:
            if definite(error.status, error.message):
                await self._refused(job, error.status, error.message)
            elif isinstance(error, UnavailableError):
                await self._unanswered(job, error)
            else:  # such as a conflict of two pods that a quota counts
                raise
        else:
            self._world.saw_pod(created)
            self.over(job)

    async def _unanswered(self, job: JobView, error: UnavailableError) -> None:
        """As where a webhook is away: told once it lasts, and asked less and less often."""
        log.warning("%s/%s: its pod is not created: %s", *job.key, error)
        lasts = self._world.ages(job, None).attempt
        if lasts >= self._settings.retry_backoff:
            text = (
                f"The API server does not create the pod ({error.message or error.reason}): "
                "it is asked again until spec.runner.startTimeout is over."
            )
            end = Ending(Verdict.INTERRUPTED, say.NOT_CREATED, text)
            await self._writes.status(job, say.hindered(job, end, self._clock()))
        longest = self._settings.unavailable_backoff
        await asyncio.sleep(max(error.pause, min(longest, max(SOON_SECONDS, lasts / 4))))

    async def _name_taken(self, job: JobView, key: Key) -> None:
        """Somebody has the queue's pod name: what that means depends on whom it serves."""
        there = await self._writes.pod(key)
        if there is None:
            return  # it has just gone; the next round creates
        if there.serves(job):
            self.over(job)
            return
        if not there.ours:
            await self._back_to_queue(job, *TAKEN)
            return
        served = self._world.job_of(there)
        current = served is not None and served.active and served.attempt == there.attempt
        if current:
            await self._back_to_queue(job, *OCCUPIED)  # two operators chose differently
        elif there.kept:
            await self._back_to_queue(job, *kept(there))
        elif there.ended:
            await self._writes.delete(Deletion.of(there, grace=0))  # the next round creates
        else:
            await self._back_to_queue(job, *unended(there))

    async def _back_to_queue(self, job: JobView, reason: str, message: str) -> None:
        self.over(job)
        await self._writes.status(job, say.requeued(job, reason, message, self._clock()))

    async def _refused(self, job: JobView, status: int, said: str) -> None:
        """The API server does not take the pod."""
        self.over(job)
        moment = Moment(self._clock(), self._settings, ages=self._world.ages(job, None))
        decision = refused_by_api(job, refusal(job, status, said), moment)
        assert decision.status is not None
        await self._writes.status(job, decision.status)
        if decision.notice is not None:
            await self._writes.announce(job, decision.notice)
