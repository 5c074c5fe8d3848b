"""A collector of traces: takes OTLP over HTTP, and keeps the spans that it was sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.listening import listening


@dataclass(frozen=True)
class Received:
    """A span as it came; ids in hexadecimal, times in seconds since 1970."""

    name: str
    service: str
    trace: str
    id: str
    parent: str
    began: float
    ended: float
    error: str
    attributes: dict[str, Any]


@dataclass
class Collector:
    """Where it is, and what it has."""

    endpoint: str
    spans: list[Received] = field(default_factory=list)

    def named(self, name: str) -> list[Received]:
        """All spans of a name."""
        return [span for span in self.spans if span.name == name]


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector, until the context ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = ExportTraceServiceRequest()
            request.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
            known = self.path == "/v1/traces"
            if known:
                collector.spans += _spans(request)
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    with listening(server):
        yield collector


def _spans(request: ExportTraceServiceRequest) -> Iterator[Received]:
    for resource in request.resource_spans:
        service = _values(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Received(
                    span.name, service, span.trace_id.hex(), span.span_id.hex(),
                    span.parent_span_id.hex(), span.start_time_unix_nano / 1e9,
                    span.end_time_unix_nano / 1e9, span.status.message, _values(span.attributes),
                )  # fmt: skip


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
