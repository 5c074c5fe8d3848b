"""What a job's pod adds to the job's trace: each fetch, each validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from sihl_api.runtime import Env, JobReference
from sihl_api.traces import Span, Traces, Value, attempt_id, job_attributes, traces_to
from sihl_trainer.errors import TrainerError

CLOSING_SECONDS = 1.0
"""For spans that wait at a process's end, once all else is done."""


def traces_of(environ: Mapping[str, str]) -> Traces:
    """Where the container's environment says that spans go."""
    return traces_to(environ.get(Env.TRACES_ENDPOINT, ""), "sihl-trainer")


@contextmanager
def fetch_traced(environ: Mapping[str, str], job: JobReference, split: str) -> Iterator[None]:
    """A fetch as a span, however the context ends."""
    number = environ.get(Env.ATTEMPT, "")
    spans = PodSpans(traces_of(environ), job, int(number) if number.isdecimal() else 0)
    began, error = time.time(), ""
    try:
        yield
    except Exception as failure:
        error = failure.reason if isinstance(failure, TrainerError) else type(failure).__name__
        raise
    finally:
        spans.tell("fetch", began, error, {"sihl.split": split})
        spans.close()


class PodSpans:
    """Spans of one attempt's.

    Args:
        traces: Where they go.
        job: Whose.
        attempt: Its number.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        traces: Traces,
        job: JobReference,
        attempt: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._traces = traces
        self._job = job
        self._attempt = attempt
        self._clock = clock
        self._began: float | None = None

    def stage(self, stage: str) -> None:
        """What the worker does now: a validation begins, or what began is over unfinished."""
        if stage != "Validating":
            self._began = None
        elif self._began is None:
            self._began = self._clock()

    def validated(self, step: int, values: Mapping[str, float]) -> None:
        """A validation has ended."""
        began, self._began = self._began, None
        metrics: dict[str, Value] = {f"sihl.metric.{name}": value for name, value in values.items()}
        now = self._clock()
        self.tell(
            "validation", now if began is None else began, more={"sihl.step": step, **metrics}
        )

    def tell(
        self, name: str, began: float, error: str = "", more: Mapping[str, Value] | None = None
    ) -> None:
        """Something that ends now."""
        job, number = self._job, self._attempt
        told = job_attributes(job.namespace, job.name, job.spec.project, number)
        told |= more or {}
        parent = attempt_id(job.uid, number)
        span = Span(name, job.uid, began, self._clock(), 0, parent, told, error)
        self._traces.tell(span)

    def close(self) -> None:
        """Send what waits, if there is somebody who takes it at once."""
        self._traces.close(CLOSING_SECONDS)
