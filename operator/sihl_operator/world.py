"""What is known of the cluster: the newest view of every job, pod and node, and what changed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from sihl_operator.capacity import Demand, Room, reckoned
from sihl_operator.hearsay import Hearsay
from sihl_operator.pod import demand
from sihl_operator.queues import Queues
from sihl_operator.settings import Settings
from sihl_operator.sightings import Ages, Sightings
from sihl_operator.views import (
    JOB_UID_LABEL,
    JobView,
    Key,
    NodeView,
    PodView,
    Raw,
    Resources,
    Usage,
    lean,
    node_view,
    pod_requests,
    pod_view,
    usage_view,
)

log = logging.getLogger(__name__)

_NONE = Decimal(0)


class World:
    """Views by key; the newer resourceVersion wins, whichever way it came.

    Args:
        clock: Seconds that go on evenly: since when a thing is seen to be so is kept too.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.jobs: dict[Key, JobView] = {}
        self.pods: dict[Key, PodView] = {}
        self.foreign: set[Key] = set()
        self.nodes: dict[str, NodeView] = {}
        self.usage: dict[Key, Usage] = {}
        self.unbound: dict[Key, Demand] = {}
        """Pods of ours that have no node yet: they will take room, whatever became of a job."""
        self.dirty: set[Key] = set()  # jobs
        self.dirty_queues: set[Key] = set()
        self.room_changed = True
        self.queues = Queues()
        self.hearsay = Hearsay(clock)
        self.seen = Sightings(clock)
        self._used: dict[str, Resources] = {}
        self._versions: dict[str, dict[Key, int]] = {"job": {}, "pod": {}}
        self._listed: dict[str, int] = {}
        """By kind, the newest list: what it does not have and is older has gone by then."""

    # --- what is seen ------------------------------------------------------------------------

    def saw(self, kind: str, raw: Raw, deleted: bool = False) -> None:
        """A job, pod or node as a watch or a list tells it."""
        see = {"job": self.saw_job, "pod": self.saw_pod, "node": self.saw_node}
        try:
            see[kind](raw, deleted)
        except Exception:  # one user's object must not hide all that others have
            metadata = raw["metadata"]
            where = metadata.get("namespace", ""), metadata["name"]
            log.exception("%s %s/%s is not understood", kind, *where)

    def saw_job(self, raw: Raw, deleted: bool = False) -> None:
        """A job as a watch, a list or a write's answer tells it."""
        if not self._newer("job", raw, deleted):
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
        if not self._newer("pod", raw, deleted):
            return
        metadata = raw["metadata"]
        key = (metadata["namespace"], metadata["name"])
        self._set_usage(key, None if deleted else usage_view(raw))
        if JOB_UID_LABEL in (metadata.get("labels") or {}):
            self._free_name(key)
            self._put(pod_view(raw, gone=deleted))
            self._await_node(key, raw, deleted)
        elif key[1].endswith("-runner"):
            (self._free_name if deleted else self.foreign.add)(key)

    def held_by_others(self, resource: str) -> Decimal:
        """How much of a resource pods hold that are not ours."""
        theirs = (use.requests for key, use in self.usage.items() if key not in self.pods)
        return sum((requests.get(resource, _NONE) for requests in theirs), _NONE)

    def _set_usage(self, key: Key, use: Usage | None) -> None:
        before = self.usage.get(key)
        if before == use:
            return
        self.room_changed = True
        if before is not None:
            del self.usage[key]
            node = self._used[before.node]
            for name, amount in before.requests.items():
                node[name] -= amount
            if not node["pods"]:
                del self._used[before.node]
        if use is not None:
            self.usage[key] = use
            node = self._used.setdefault(use.node, {})
            for name, amount in use.requests.items():
                node[name] = node.get(name, _NONE) + amount

    def _await_node(self, key: Key, raw: Raw, deleted: bool) -> None:
        spec, pod = raw["spec"], self.pods.get(key)
        if deleted or pod is None or pod.ended or spec.get("nodeName"):
            self._await_none(key)
            return
        if pod.gates:  # who set them may take days: its job was promised room until it was seen
            self._await_none(key)
            self.room_changed = True
            return
        wanted = Demand(
            pod_requests(spec),
            spec.get("nodeSelector") or {},
            tuple(spec.get("tolerations") or ()),
            spec.get("affinity"),
            adrift=not reckoned(pod.unschedulable),
        )
        before, self.unbound[key] = self.unbound.get(key), wanted
        if before != wanted and (before is not None or wanted.adrift):
            self.room_changed = True

    def _await_none(self, key: Key) -> None:
        if self.unbound.pop(key, None) is not None:
            self.room_changed = True

    def _free_name(self, key: Key) -> None:
        """No stranger has a queue's pod name any more."""
        if key in self.foreign:
            self.foreign.discard(key)
            self.dirty_queues.add((key[0], key[1].removesuffix("-runner")))

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

    def saw_node(self, raw: Raw, deleted: bool = False) -> None:
        """A node."""
        node = node_view(raw)
        if deleted:
            self.nodes.pop(node.name, None)
            self.room_changed = True
        elif self.nodes.get(node.name) != node:
            self.nodes[node.name] = node
            self.room_changed = True

    def saw_all(self, kind: str, items: Iterable[Raw], version: str) -> None:
        """A whole list: what it does not have any more is gone, whatever a watch left out.

        Of one kind, a later call has what was listed later.
        """
        moment = int(version)
        if kind in self._versions and moment < self._listed.get(kind, -1):
            # The API server's store was put back to an earlier state: what is known is void.
            self._versions[kind] = dict.fromkeys(self._versions[kind], -1)
        self._listed.pop(kind, None)
        listed: set[Any] = set()
        for raw in items:
            listed.add((raw["metadata"].get("namespace", ""), raw["metadata"]["name"]))
            self.saw(kind, raw)
        if kind == "node":
            for name in set(self.nodes) - {name for _, name in listed}:
                del self.nodes[name]
                self.room_changed = True
            return
        versions = self._versions[kind]
        for key in [key for key in versions if key not in listed and versions[key] <= moment]:
            self._lost(kind, key)
            del versions[key]  # else the names of all that ever was would be kept
        self._listed[kind] = moment

    def _lost(self, kind: str, key: Key) -> None:
        if kind == "job":
            self.lose_job(key)
            return
        self._set_usage(key, None)
        self._await_none(key)
        self._free_name(key)
        pod = self.pods.get(key)
        if pod is not None and not pod.gone:
            self.forget_pod(pod)

    def forget_pod(self, pod: PodView) -> None:
        """A pod that is not there, and of whose end nothing is known."""
        self.drop_pod(pod)
        self._set_usage(pod.key, None)
        self._await_none(pod.key)
        self.dirty_queues.add((pod.namespace, pod.queue))
        job = self.job_of(pod)
        if job is not None:
            self.dirty.add(job.key)

    def _newer(self, kind: str, raw: Raw, deleted: bool) -> bool:
        metadata = raw["metadata"]
        key = (metadata["namespace"], metadata["name"])
        version = int(metadata["resourceVersion"])
        known = self._versions[kind].get(key, self._listed.get(kind, -1))
        if version < known or (version == known and not deleted):
            return False
        self._versions[kind][key] = version
        return True

    def touch_everything(self) -> None:
        """Have everything decided anew: a new leader knows nothing of what the last one did."""
        self.dirty.update(self.jobs)
        self.dirty_queues.update(self.queues)
        self.dirty_queues.update((pod.namespace, pod.queue) for pod in self.pods.values())
        self.room_changed = True

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
        grown = {settings.gpu_resource: settings.autoscaler_max_gpus}
        grown["cpu"] = settings.autoscaler_max_cpus
        others = {name: self.held_by_others(name) for name, most in grown.items() if most}
        room = Room(self.nodes, self.used(), others)
        for key in sorted({*self.queues.active(), *starting}):
            job = self.jobs.get(key)
            if job and self.pod_of(job) is None:
                room.promise(demand(job, settings))  # promised room is taken room
        for key in sorted(self.unbound):
            room.promise(self.unbound[key])
        return room

    def used(self) -> dict[str, Resources]:
        """Requests by node, of all pods that are bound to one; the caller's to change."""
        return {node: dict(amounts) for node, amounts in self._used.items()}
