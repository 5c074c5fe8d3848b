"""What Prometheus is told."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sihl_api.status import Phase
from sihl_operator.gauges import Gauges
from sihl_operator.settings import Settings
from sihl_operator.views import JobView, parse
from sihl_operator.world import World

_WAITS = (1, 5, 15, 60, 300, 900, 3600, 14400, 43200, 86400, 259200)
_STOPS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800)


class Metrics:
    """Counters of what happened, and gauges read off the world when they are asked for."""

    def __init__(
        self,
        world: World,
        clock: Callable[[], float] = time.time,
        gpu_resource: str = Settings.gpu_resource,
    ) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(Gauges(world, clock, gpu_resource))
        self.writes = Counter(
            "sihl_operator_api_writes", "Writes to the API server that were tried",
            ["verb", "resource"], registry=self.registry,
        )  # fmt: skip
        self.decisions = Histogram(
            "sihl_operator_decision_seconds", "Time that a round of decisions took",
            buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5), registry=self.registry,
        )  # fmt: skip
        self.queue_wait = self._histogram(
            "sihl_job_queue_wait_seconds", "From submission to the first attempt", _WAITS
        )
        self.time_to_running = self._histogram(
            "sihl_job_time_to_running_seconds", "From admission to training", _WAITS
        )
        self.stop_duration = self._histogram(
            "sihl_job_stop_seconds", "From a stop's beginning to the pod's end", _STOPS
        )
        self.leader = Gauge(
            "sihl_operator_leader", "1 on the replica that leads", registry=self.registry
        )

    def _histogram(self, name: str, text: str, buckets: tuple[int, ...]) -> Histogram:
        labels = ["namespace", "queue"]
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)

    def wrote(self, verb: str, resource: str) -> None:
        """Count a write."""
        self.writes.labels(verb, resource).inc()

    def moved(self, before: JobView, after: JobView, now: float, stop: float | None) -> None:
        """A job's status was written: measure what came to an end by it.

        Args:
            before: The job.
            after: The job, as it was written.
            now: Seconds since 1970: a wait outlasts many an operator, and is only shown.
            stop: For how many seconds it has been Stopping, if that was seen to begin.
        """
        queue = after.namespace, after.queue
        for each in (self.queue_wait, self.time_to_running, self.stop_duration):
            each.labels(*queue)  # from nought on: Prometheus sees no increase to a first value
        if after.phase is Phase.STARTING and before.attempt == 0:
            self.queue_wait.labels(*queue).observe(max(0.0, now - after.created))
        if after.phase is Phase.RUNNING and before.phase is Phase.STARTING:
            started = parse(after.status.started_at) or now
            self.time_to_running.labels(*queue).observe(max(0.0, now - started))
        if before.phase is Phase.STOPPING and not after.active and stop is not None:
            queue = before.namespace, before.queue
            self.stop_duration.labels(*queue).observe(stop)
