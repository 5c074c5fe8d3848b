"""The pod's own port: /metrics for Prometheus and /progress for the operator."""

from __future__ import annotations

import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from sihl_api.runtime import HTTP_PORT, ProgressReport
from sihl_trainer.recurring import Recurring

_HEARING_SECONDS = 0.5


class ProgressServer(Recurring):
    """Answers in threads of its own while the context lasts.

    Args:
        report: Called for each GET of /progress, from another thread.
        registry: What /metrics shows.
        port: 0 takes a free one; see `port`.

    Raises:
        OSError: The port is taken.
    """

    def __init__(
        self,
        report: Callable[[], ProgressReport],
        registry: CollectorRegistry,
        port: int = HTTP_PORT,
    ) -> None:

        class Handler(_Handler):
            def page(self) -> tuple[str, bytes] | None:
                match self.path.split("?")[0]:
                    case "/metrics":
                        return CONTENT_TYPE_LATEST, bytes(generate_latest(registry))
                    case "/progress":
                        text = report().model_dump_json(by_alias=True, exclude_none=True)
                        return "application/json", text.encode()
                return None

        self._server = _Server(("", port), Handler)
        self._server.timeout = _HEARING_SECONDS
        super().__init__(self._server.handle_request, pause=0, name="http")

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._server.server_port

    def close(self) -> None:
        """Stop answering and free the port."""
        super().close()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """At all addresses of the pod, of IPv4 and IPv6."""

    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class _Handler(BaseHTTPRequestHandler):
    timeout = 30  # seconds; a client that says nothing frees its thread
    wbufsize = -1  # an answer goes out as one piece, or, if the process ends before, not at all

    def page(self) -> tuple[str, bytes] | None:
        raise NotImplementedError

    def do_GET(self) -> None:
        page = self.page()
        if page is None:
            self.send_error(404, "only /metrics and /progress are served")
            return
        kind, body = page
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: a scrape every few seconds is no news."""
