"""What Prometheus is told of the jobs, queues and GPUs that there are: read off the world, pure."""

from __future__ import annotations

import contextlib
from collections import Counter as Count
from collections.abc import Callable, Iterator
from decimal import Decimal

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sihl_api.status import ConditionType, Phase
from sihl_operator.conditions import condition
from sihl_operator.hindrances import GATED
from sihl_operator.queues import Queue
from sihl_operator.refusals import QUOTA_EXCEEDED
from sihl_operator.views import JobView, NodeView, parse
from sihl_operator.world import World

_NONE = Decimal(0)
_IN_A_LINE = (GATED, QUOTA_EXCEEDED)
"""Obstacles that are another line to wait in: nobody has to mend anything."""


class Gauges(Collector):
    """Gauges over all jobs. The label is not called `job`: Prometheus has a `job` of its own.

    Args:
        world: What is known.
        clock: Seconds since 1970.
        gpu_resource: What nodes call their GPUs.
    """

    def __init__(self, world: World, clock: Callable[[], float], gpu_resource: str) -> None:
        self._world = world
        self._clock = clock
        self._gpu = gpu_resource

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All of them, as they are now."""
        queue, job = ["namespace", "queue"], ["namespace", "queue", "training_job"]
        phases = _family("sihl_jobs", "Jobs by phase", [*queue, "phase"])
        positions = _family("sihl_job_queue_position", "1 is next", job)
        ages = _family(
            "sihl_job_checkpoint_age_seconds", "Since the last durable checkpoint of an active job",
            job,
        )  # fmt: skip
        hindered = _family(
            "sihl_job_hindered",
            "1 while something that somebody can mend keeps a job from starting, and what",
            [*job, "reason"],
        )
        waiting = _family(
            "sihl_queue_waiting_gpus",
            "GPUs that the first job of a queue in which none is active asks for; why it waits",
            [*queue, "reason"],
        )
        for (namespace, name), members in list(self._world.queues.items()):
            jobs = [self._world.jobs[key] for key in members.members]
            counts = Count(each.phase or Phase.QUEUED for each in jobs)
            for phase in Phase:
                phases.add_metric([namespace, name, phase.value], counts[phase])
            for position, each in enumerate(members.line, start=1):
                positions.add_metric([namespace, name, each.name], position)
            for each in jobs:
                if reason := self._obstacle(each):
                    hindered.add_metric([namespace, name, each.name, reason], 1)
            if (first := self._first(members)) is not None:
                waiting.add_metric([namespace, name, _why(first)], first.gpus)
            for each in (self._world.jobs[key] for key in members.active):
                if saved := each.status.checkpoint:
                    with contextlib.suppress(ValueError):  # a pod wrote the time
                        age = self._clock() - (parse(saved.saved_at) or self._clock())
                        ages.add_metric([namespace, name, each.name], max(0.0, age))
        return iter((phases, positions, ages, hindered, waiting, self._gpus()))

    def _obstacle(self, job: JobView) -> str | None:
        """What is in a job's way at this moment, where somebody has to mend it."""
        met = job.stored_status.get("obstacle")
        if not met or met.get("reason") in _IN_A_LINE:
            return None
        if job.phase is Phase.STARTING:
            told = condition(job.status, ConditionType.DATASET_READY)
            acts = told is not None and told.reason == met.get("reason")
        else:  # one that has only to be admitted is past it, as far as anybody knows
            acts = job.phase is Phase.QUEUED and self._world.seen.backoff(job) > 0
        return str(met.get("reason")) if acts else None

    def _first(self, queue: Queue) -> JobView | None:
        """Who starts next in a queue that nobody has."""
        if queue.active:
            return None
        ready = (job for job in queue.line if job.phase is Phase.QUEUED)
        return next((job for job in ready if not self._world.seen.backoff(job)), None)

    def _gpus(self) -> GaugeMetricFamily:
        found = _family(
            "sihl_gpus", "GPUs of a node: used, idle, or out of reach as it takes no pods",
            ["node", "state"],
        )  # fmt: skip
        used = self._world.occupancy.used()
        for node in self._world.occupancy.nodes.values():
            have = node.allocatable.get(self._gpu, _NONE)
            taken = min(have, used.get(node.name, {}).get(self._gpu, _NONE))
            for state, amount in _states(node, have, taken) if have else ():
                found.add_metric([node.name, state], float(amount))
        return found


def _family(name: str, text: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels)


def _why(job: JobView) -> str:
    """Why a job waits, as its status tells."""
    told = condition(job.status, ConditionType.ADMITTED)
    return told.reason if told is not None else "Queued"


def _states(node: NodeView, have: Decimal, taken: Decimal) -> tuple[tuple[str, Decimal], ...]:
    free, open_ = have - taken, node.ready and node.schedulable
    return ("used", taken), ("idle", free if open_ else _NONE), ("away", _NONE if open_ else free)
