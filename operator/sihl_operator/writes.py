"""The single calls of the API, each of which puts what it learnt back into the world."""

from __future__ import annotations

import logging

from sihl_api.status import Phase, TrainingJobStatus
from sihl_api.traces import Traces
from sihl_operator import judges
from sihl_operator import status as say
from sihl_operator.decision import Deletion, Notice
from sihl_operator.endings import Ending
from sihl_operator.events import event_for
from sihl_operator.hearsay import told
from sihl_operator.kube import Api, ApiError, ConflictError, NotFoundError
from sihl_operator.metrics import Metrics
from sihl_operator.patches import patch
from sihl_operator.sightings import Clocks
from sihl_operator.spans import spans_of
from sihl_operator.views import JobView, Key, PodView, pod_view
from sihl_operator.world import World

log = logging.getLogger(__name__)


class Writes:
    """What is written, and what is asked before it is.

    Args:
        world: Told what was learnt.
        api: The API server.
        metrics: Told what happened.
        clocks: What time it is.
        traces: Told what came to an end.
    """

    def __init__(
        self, world: World, api: Api, metrics: Metrics, clocks: Clocks, traces: Traces
    ) -> None:
        self._world = world
        self._api = api
        self._metrics = metrics
        self._clocks = clocks
        self._traces = traces
        self._stopping: dict[Key, float] = {}
        """Since when a job is Stopping, where this process made it so."""
        self._announced: set[Key] = set()
        """Jobs whose status cannot be written, and that were told so by an event."""

    def forget_all(self) -> None:
        """Another replica has led: it may have seen the end of who was stopping."""
        self._stopping.clear()

    def forget(self, key: Key) -> None:
        """A job that is gone."""
        self._stopping.pop(key, None)
        self._announced.discard(key)

    async def status(self, job: JobView, new: TrainingJobStatus) -> JobView:
        """A job's status, by compare-and-swap; the job as it is then.

        Raises:
            ApiError: It is not written, as far as is known; ConflictError: the job has changed.
        """
        changes = patch(job, judges.complete(job, new, self._clocks.wall()))
        if not changes:
            return job
        waited = self._world.seen.waited(job)
        raw = await self._api.patch_job_status(
            job.namespace, job.name, job.resource_version, changes
        )
        self._world.saw_job(raw)
        after = JobView(raw)
        if after.phase is Phase.STOPPING and job.phase is not Phase.STOPPING:
            self._stopping[job.key] = self._clocks.monotonic()
        since = self._stopping.get(job.key)
        stop = None if since is None else self._clocks.monotonic() - since
        self._metrics.moved(job, after, self._clocks.wall(), stop)
        for span in spans_of(job, after, self._clocks.wall(), waited):
            self._traces.tell(span)
        if not after.active:
            self._stopping.pop(job.key, None)
            self._forget_gone(job)
        return after

    async def lacking(self, job: JobView, end: Ending) -> None:
        """What the operator's role does not let it do for a job; if need be, by an event."""
        try:
            await self.status(job, say.lacking(job, end, self._clocks.wall()))
        except ApiError as error:
            if error.status == 403 and job.key not in self._announced:
                self._announced.add(job.key)
                await self.announce(job, Notice(end.reason, end.message))

    async def lacking_for_all(self, end: Ending) -> None:
        """What the operator's role does not let it do at all, said by every job that waits.

        Raises:
            ApiError: The jobs cannot be listed.
        """
        jobs, _ = await self._api.list_all("job")
        for job in map(JobView, jobs):
            if job.phase in (None, Phase.QUEUED):
                await self.lacking(job, end)

    def _forget_gone(self, job: JobView) -> None:
        """A pod that is gone is remembered only until its job's status tells its end."""
        pod = self._world.pods.get((job.namespace, job.status.pod_name or ""))
        if pod is not None and pod.gone and pod.job_uid == job.uid:
            self._world.drop_pod(pod)

    async def reread(self, key: Key) -> None:
        """A job that changed under our hands, as it is now."""
        try:
            raw = await self._api.get_job(*key)
        except NotFoundError:
            self._world.lose_job(key)
            return
        except ApiError as error:
            log.warning("%s/%s cannot be read: %s", *key, error)
            return
        known = self._world.jobs.get(key)
        if known is not None and known.uid == raw["metadata"]["uid"]:
            self._world.saw_job(raw)
        else:  # the watch tells of its namesake, after those who came before
            self._world.lose_job(key)

    async def pod(self, key: Key) -> PodView | None:
        """The pod of that name as the API server itself has it; None where it has none.

        Raises:
            ApiError: It does not say.
        """
        try:
            raw = await self._api.get_pod(*key)
        except NotFoundError:
            return None
        self._world.saw_pod(raw)
        return pod_view(raw)

    async def delete(self, deletion: Deletion) -> None:
        """A pod, if it still is the one that was seen.

        Raises:
            ApiError: It is not deleted, as far as is known.
        """
        where = (deletion.namespace, deletion.name)
        try:
            await self._api.delete_pod(*where, deletion.uid, deletion.grace)
        except (NotFoundError, ConflictError):  # gone, or another pod has the name by now
            pod = self._world.pods.get(where)
            if pod is not None and pod.uid == deletion.uid and not pod.gone:
                self._world.forget_pod(pod)
            return
        if deletion.grace == 0:
            pod = self._world.pods.get(where)
            if pod is None or pod.uid != deletion.uid or pod.kept:
                return
            if pod.phase in ("Succeeded", "Failed"):
                self._world.forget_pod(pod)

    async def expire(self, job: JobView) -> None:
        """A job that was kept for as long as it says, if it still is as it was seen.

        Raises:
            ApiError: It is not deleted, as far as is known; ConflictError: the job has changed.
        """
        await self._api.delete_job(job.namespace, job.name, job.uid, job.resource_version)
        self._world.lose_job(job.key)

    async def inquire(self, pod: PodView) -> None:
        """What others say of a pod, by Events; without it nothing is lost."""
        try:
            found = await self._api.events_of(pod.namespace, pod.uid)
        except ApiError as error:
            log.warning("%s/%s: its events are not read: %s", *pod.key, error)
            found = []
        if pod.key in self._world.pods:
            self._world.hearsay.hear(pod.uid, told(found))

    async def announce(self, job: JobView, notice: Notice) -> None:
        """A Kubernetes Event; without it nothing is lost."""
        try:
            await self._api.create_event(event_for(job, notice, self._clocks.wall()))
        except ApiError as error:
            log.warning("%s/%s: no event for %s: %s", *job.key, notice.reason, error)
