"""What the outside sees while a run lasts: /metrics and /progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge

from sihl_api.record import MetricLine
from sihl_api.runtime import JobReference, ProgressReport, RecordReport
from sihl_api.status import CheckpointStatus, Progress
from sihl_api.times import since_1970
from sihl_api.units import human_seconds, seconds
from sihl_trainer.identity import tell_whose

_TRAINING = "Training"


class Status:
    """The latest of everything. Thread-safe.

    Args:
        job: What is trained.
        attempt: Its number.
        record: Whether the record can be written; asked each time that somebody looks.
        clock: Seconds that go on evenly.
    """

    def __init__(
        self,
        job: JobReference,
        attempt: int,
        record: Callable[[], RecordReport | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = CollectorRegistry()
        self._max_steps = max_steps = job.spec.training.max_steps
        self._record = record
        self._lock = threading.Lock()
        self._report = ProgressReport(stage="Loading", progress=Progress(max_steps=max_steps))
        self._step = self._gauge("training_step", "Steps that are done")
        self._gauge("training_max_steps", "Steps of the whole job").set(max_steps)
        self._loss = self._gauge("training_loss", "Mean since the last report", "head", "loss")
        self._metric = self._gauge("training_metric", "Of the last validation", "head", "metric")
        self._rate = self._gauge("training_images_per_second", "Training throughput")
        self._learning_rate = self._gauge("training_learning_rate", "Of the last step")
        self._checkpoint_step = self._gauge("checkpoint_step", "Of the last durable checkpoint")
        self._checkpoint_time = self._gauge("checkpoint_timestamp_seconds", "When it was written")
        self._checkpoint_bytes = self._gauge("checkpoint_bytes", "Its size")
        self._checkpoint_upload = self._gauge("checkpoint_upload_seconds", "Its upload's duration")
        self._unsaved = Stopwatch(clock)
        unsaved = self._gauge("training_unsaved_seconds", "Of training since the last checkpoint")
        unsaved.set_function(self._unsaved.read)
        interval = self._gauge("checkpoint_interval_seconds", "Of training between checkpoints")
        interval.set(seconds(job.spec.runner.checkpoint_interval))
        tell_whose(self.registry, job, str(attempt))
        writable = self._gauge("record_writable", "Whether the run record can be written: 1 or 0")
        writable.set_function(lambda: 1.0 if (found := record()) is None or found.writable else 0.0)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"sihl_{name}", text, labels, registry=self.registry)

    def report(self) -> ProgressReport:
        """What GET /progress answers."""
        with self._lock:
            return self._report.model_copy(update={"record": self._record()})

    def stage(self, stage: str) -> None:
        """What is being done: one of ProgressReport's stages."""
        self._unsaved.run(stage == _TRAINING)
        self._change(stage=stage)

    def progress(self, step: int, images_per_second: float | None, remaining: float | None) -> None:
        """How far training is; `remaining` in seconds."""
        self._step.set(step)
        if images_per_second is not None:
            self._rate.set(images_per_second)
        self._change(
            progress=Progress(
                step=step,
                max_steps=self._max_steps,
                percent=min(100, 100 * step // self._max_steps),
                remaining=None if remaining is None else human_seconds(remaining),
                images_per_second=images_per_second,
            )
        )

    def learning_rate(self, value: float) -> None:
        """The learning rate of the last step."""
        self._learning_rate.set(value)

    def line(self, line: MetricLine) -> None:
        """A line of metrics: a loss or a metric is named `head/name`, or `name` over all heads."""
        gauge = self._metric if line.kind == "validation" else self._loss
        for key, value in line.values.items():
            head, _, name = key.rpartition("/")
            gauge.labels(head, name).set(value)

    def validated(self, metrics: dict[str, str]) -> None:
        """The results of the last validation, as a job's status shows them."""
        self._change(metrics=metrics)

    def checkpoint(
        self, status: CheckpointStatus, size: int | None = None, took: float | None = None
    ) -> None:
        """A durable checkpoint, and what its upload took where this attempt did it."""
        self._unsaved.reset()
        self._checkpoint_step.set(status.step)
        self._checkpoint_time.set(since_1970(status.saved_at))
        if size is not None:
            self._checkpoint_bytes.set(size)
        if took is not None:
            self._checkpoint_upload.set(took)
        self._change(checkpoint=status)

    def _change(self, **values: object) -> None:
        with self._lock:
            self._report = self._report.model_copy(update=values)


class Stopwatch:
    """Seconds for which it has run since it was reset. Thread-safe.

    Args:
        clock: Seconds that go on evenly.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._before = 0.0
        self._since: float | None = None

    def run(self, on: bool) -> None:
        """Go on, or pause; nothing changes where that is so already."""
        with self._lock:
            if on and self._since is None:
                self._since = self._clock()
            elif not on:
                self._before, self._since = self._read(), None

    def reset(self) -> None:
        """Begin anew; one that runs goes on."""
        with self._lock:
            self._before = 0.0
            self._since = None if self._since is None else self._clock()

    def read(self) -> float:
        """The seconds."""
        with self._lock:
            return self._read()

    def _read(self) -> float:
        return self._before + (0.0 if self._since is None else self._clock() - self._since)
