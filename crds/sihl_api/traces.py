"""A job's life as one OpenTelemetry trace, over all its attempts and all processes that serve it.

Nothing is stored for it: the trace's id is the job's uid, and the ids of spans that others are
within are made from that. A span is made when its end is known: a crash loses at most what was
open. Where no endpoint is given, nothing of OpenTelemetry is imported.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

log = logging.getLogger(__name__)

Value = str | int | float | bool

_PATH = "/v1/traces"
_ANSWER_SECONDS = 5
_QUEUE = 2048
"""Spans that wait for a collector that is away; later ones are dropped."""


@dataclass(frozen=True)
class Span:
    """Something of a job's that has ended.

    Attributes:
        name: What it was.
        uid: The job's.
        began: Seconds since 1970.
        ended: Likewise.
        id: Where others are within it: made by `job_id` or `attempt_id`; 0: any.
        within: The span that it is a part of; 0: the trace's own root.
        attributes: What else is told of it.
        error: Why it failed, if it did.
    """

    name: str
    uid: str
    began: float
    ended: float
    id: int = 0
    within: int = 0
    attributes: Mapping[str, Value] = field(default_factory=dict)
    error: str = ""


def trace_id(uid: str) -> int:
    """The job's uid as the 16 bytes that it is: a job's trace is looked up by it."""
    try:
        return uuid.UUID(uid).int or 1
    except ValueError:
        return int.from_bytes(hashlib.sha256(uid.encode()).digest()[:16]) or 1


def job_id(uid: str) -> int:
    """Of the span of the whole job."""
    return _id(uid, "job")


def attempt_id(uid: str, attempt: int) -> int:
    """Of an attempt's span, which its pod's spans are within."""
    return _id(uid, f"attempt {attempt}")


def _id(*parts: str) -> int:
    return int.from_bytes(hashlib.sha256("\n".join(parts).encode()).digest()[:8]) or 1


class Traces(Protocol):
    """Where spans go."""

    def tell(self, span: Span) -> None:
        """Returns at once, and raises nothing."""

    def close(self, seconds: float) -> None:
        """Send what waits, for so long at most."""


class Untraced:
    """Nowhere."""

    def tell(self, span: Span) -> None:
        """Nothing is told."""

    def close(self, seconds: float) -> None:
        """Nothing waits."""


def traces_to(endpoint: str, service: str) -> Traces:
    """Spans on their way to a collector, by OTLP over HTTP.

    Args:
        endpoint: Its URL, such as http://otel-collector.monitoring:4318; empty: nothing is traced.
        service: Who tells: `sihl-operator` or `sihl-trainer`.
    """
    if not endpoint:
        return Untraced()
    try:
        return _Collected(endpoint, service)
    except ImportError as error:  # an image of somebody's own: a job needs no traces
        log.warning("nothing is traced, since OpenTelemetry is not installed: %s", error)
        return Untraced()


class _Collected:
    """By the OTel SDK: a thread of its own sends what a bounded queue holds."""

    def __init__(self, endpoint: str, service: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import SpanContext, TraceFlags
        from opentelemetry.trace.status import Status, StatusCode

        # It would say so of each batch: what a collector lacks is seen at the collector.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        base = endpoint.rstrip("/")
        url = base if base.endswith(_PATH) else base + _PATH
        exporter = OTLPSpanExporter(endpoint=url, timeout=_ANSWER_SECONDS)
        self._processor = BatchSpanProcessor(
            exporter, max_queue_size=_QUEUE, schedule_delay_millis=2000
        )
        resource = Resource.create({"service.name": service})

        def context(uid: str, span: int) -> SpanContext:
            return SpanContext(trace_id(uid), span, True, TraceFlags(TraceFlags.SAMPLED))

        def made(span: Span) -> ReadableSpan:
            status = Status(StatusCode.ERROR, span.error) if span.error else Status()
            return ReadableSpan(
                span.name,
                context=context(span.uid, span.id or secrets.randbits(63) + 1),
                parent=context(span.uid, span.within) if span.within else None,
                resource=resource,
                attributes=dict(span.attributes),
                status=status,
                start_time=round(span.began * 1e9),
                end_time=round(max(span.began, span.ended) * 1e9),
            )

        self._made = made

    def tell(self, span: Span) -> None:
        """Put it into the queue."""
        try:
            self._processor.on_end(self._made(span))
        except Exception:  # nothing that is traced depends on its trace
            log.exception("a span %r was not told", span.name)

    def close(self, seconds: float) -> None:
        """Wait for the sending thread in another one: it may be at a collector that is silent."""
        closing = threading.Thread(target=self._processor.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(seconds)


def job_attributes(namespace: str, name: str, project: str, attempt: int = 0) -> dict[str, Any]:
    """What each span says of its job."""
    told: dict[str, Any] = {"k8s.namespace.name": namespace, "sihl.job": name}
    told["sihl.project"] = project
    return {**told, "sihl.attempt": attempt} if attempt else told
