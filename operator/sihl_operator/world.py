"""What is known of the cluster: the newest view of every job, pod and node, and what changed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from sihl_operator.capacity import Room
from sihl_operator.hearsay import Hearsay
from sihl_operator.occupancy import Occupancy
from sihl_operator.pod import demand
from sihl_operator.queues import Queues
from sihl_operator.settings import Settings
from sihl_operator.sightings import Ages, Sightings
from sihl_operator.versions import Versions
from sihl_operator.views import (
    JobView,
    Key,
    PodView,
    Raw,
    lean,
    pod_view,
    queue_of,
    serves_a_job,
)

log = logging.getLogger(__name__)


class World:
    """Views by key; the newer resourceVersion wins, whichever way it came.

    Args:
        clock: Seconds that go on evenly: since when a thing is seen to be so is kept too.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.jobs: dict[Key, JobView] = {}
        self.pods: dict[Key, PodView] = {}
        self.foreign: set[Key] = set()
        """Pods of others that have a name as a queue's pod has."""
        self.occupancy = Occupancy()
        self.dirty: set[Key] = set()  # jobs
        self.dirty_queues: set[Key] = set()
        self.queues = Queues()
        self.hearsay = Hearsay(clock)
        self.seen = Sightings(clock)
        self._versions = {"job": Versions(), "pod": Versions()}

    # --- what is seen ------------------------------------------------------------------------

    def saw(self, kind: str, raw: Raw, deleted: bool = False) -> None:
        """A job, pod or node as a watch or a list tells it."""
        see = {"job": self.saw_job, "pod": self.saw_pod, "node": self.occupancy.saw_node}
        try:
            see[kind](raw, deleted)
        except Exception:  # one user's object must not hide all that others have
            metadata = raw["metadata"]
            where = metadata.get("namespace", ""), metadata["name"]
            log.exception("%s %s/%s is not understood", kind, *where)

    def saw_job(self, raw: Raw, deleted: bool = False) -> None:
        """A job as a watch, a list or a write's answer tells it."""
        if not self._versions["job"].newer(raw, deleted):
            return
        job = JobView(lean(raw))
        before = self.jobs.get(job.key)
        job.knowing(before)
        if deleted or (before is not None and before.uid != job.uid):
            self.lose_job(job.key)
        if deleted:
            return
        self._take(job.key)
        self.jobs[job.key] = job
        self.seen.saw_job(job)
        self.dirty.add(job.key)
        self.dirty_queues.add(self.queues.put(job))

    def lose_job(self, key: Key) -> None:
        """A job that is not there any more."""
        job = self._take(key)
        if job is not None:
            self.seen.forget(job.uid)

    def _take(self, key: Key) -> JobView | None:
        job = self.jobs.pop(key, None)
        if job is not None:
            self.dirty.add(key)
            self.dirty_queues.add(self.queues.take(job))
        return job

    def saw_pod(self, raw: Raw, deleted: bool = False) -> None:
        """Any pod of the cluster; one that is deleted leaves its last state behind."""
        if not self._versions["pod"].newer(raw, deleted):
            return
        key = (raw["metadata"]["namespace"], raw["metadata"]["name"])
        if deleted:
            self.occupancy.lose_pod(key)
        else:
            self.occupancy.saw_pod(key, raw)
        if serves_a_job(raw):
            self._free_name(key)
            pod = pod_view(raw, gone=deleted)
            self._put(pod)
            if not deleted:
                self.occupancy.saw_ours(pod, raw)
        elif queue_of(key[1]) is not None:
            (self._free_name if deleted else self.foreign.add)(key)

    def _free_name(self, key: Key) -> None:
        """No stranger has a queue's pod name any more."""
        if key in self.foreign:
            self.foreign.discard(key)
            self.dirty_queues.add((key[0], queue_of(key[1]) or ""))

    def _put(self, pod: PodView) -> None:
        before = self.pods.get(pod.key)
        if before is not None and before.uid != pod.uid:
            self.drop_pod(before)
        self.pods[pod.key] = pod
        self.seen.saw_pod(pod)
        self.dirty_queues.add((pod.namespace, pod.queue))
        job = self.job_of(pod)
        if job is not None:
            self.dirty.add(job.key)
        elif pod.gone:
            self.drop_pod(pod)

    def drop_pod(self, pod: PodView) -> None:
        """A pod that is gone, and whose end is told."""
        self.pods.pop(pod.key, None)
        self.seen.forget(pod.uid)
        self.hearsay.forget(pod.uid)

    def saw_all(self, kind: str, items: Iterable[Raw], version: str) -> None:
        """A whole list: what it does not have any more is gone, whatever a watch left out.

        Of one kind, a later call has what was listed later.
        """
        versions = self._versions.get(kind)
        if versions is not None:
            versions.begin_list(int(version))
        listed: set[Key] = set()
        for raw in items:
            listed.add((raw["metadata"].get("namespace", ""), raw["metadata"]["name"]))
            self.saw(kind, raw)
        if versions is None:
            self.occupancy.saw_all_nodes({name for _, name in listed})
            return
        for key in versions.end_list(int(version), listed):
            self._lost(kind, key)

    def _lost(self, kind: str, key: Key) -> None:
        if kind == "job":
            self.lose_job(key)
            return
        self.occupancy.lose_pod(key)
        self._free_name(key)
        pod = self.pods.get(key)
        if pod is not None and not pod.gone:
            self.forget_pod(pod)

    def forget_pod(self, pod: PodView) -> None:
        """A pod that is not there, and of whose end nothing is known."""
        self.drop_pod(pod)
        self.occupancy.lose_pod(pod.key)
        self.dirty_queues.add((pod.namespace, pod.queue))
        job = self.job_of(pod)
        if job is not None:
            self.dirty.add(job.key)

    def touch_everything(self) -> None:
        """Have everything decided anew: a new leader knows nothing of what the last one did."""
        self.dirty.update(self.jobs)
        self.dirty_queues.update(self.queues)
        self.dirty_queues.update((pod.namespace, pod.queue) for pod in self.pods.values())
        self.occupancy.changed = True

    # --- what is asked -----------------------------------------------------------------------

    def job_of(self, pod: PodView) -> JobView | None:
        """The job that a pod serves, if it still is the one of that name."""
        job = self.jobs.get((pod.namespace, pod.job_name))
        return job if job is not None and job.uid == pod.job_uid else None

    def pod_of(self, job: JobView) -> PodView | None:
        """The pod that serves the job's current attempt."""
        pod = self.pods.get((job.namespace, job.stored_status.get("podName") or ""))
        return pod if pod is not None and pod.serves(job) else None

    def ages(self, job: JobView | None, pod: PodView | None) -> Ages:
        """For how long this process has seen what is so of a job and of the pod that serves it."""
        heard = 0.0 if pod is None else self.hearsay.age(pod.uid)
        return replace(self.seen.ages(job, pod), heard=heard)

    def room(self, starting: Iterable[Key], settings: Settings) -> Room:
        """What no pod takes, and nobody was promised.

        Args:
            starting: Jobs that are being admitted, whatever their status says yet.
            settings: The operator's.
        """
        keys = sorted({*self.queues.active(), *starting})
        jobs = [job for key in keys if (job := self.jobs.get(key)) and self.pod_of(job) is None]
        growing = {
            settings.gpu_resource: settings.autoscaler_max_gpus,
            "cpu": settings.autoscaler_max_cpus,
        }
        return self.occupancy.room(
            [demand(job, settings) for job in jobs],
            self.pods,
            [name for name, most in growing.items() if most],
        )
