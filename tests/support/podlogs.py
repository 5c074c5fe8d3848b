"""What a kubelet serves of its containers' logs, for nodes whose kubelet is the test."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from kubernetes import client

from local_cluster.pki import Pki
from tests.support.listening import listening


class PodLogs:
    """Logs by namespace and pod, which grow as the test writes to them."""

    def __init__(self) -> None:
        self._written: dict[tuple[str, str], str] = {}
        self._closed: set[tuple[str, str]] = set()
        self._change = threading.Condition()

    def write(self, namespace: str, pod: str, text: str) -> None:
        """More of a log; the first of a new pod's takes the place of an earlier pod's."""
        with self._change:
            if (namespace, pod) in self._closed:
                self._closed.discard((namespace, pod))
                self._written[namespace, pod] = ""
            self._written[namespace, pod] = self._written.get((namespace, pod), "") + text
            self._change.notify_all()

    def close(self, namespace: str, pod: str) -> None:
        """The container has ended."""
        with self._change:
            self._closed.add((namespace, pod))
            self._change.notify_all()

    def read(self, namespace: str, pod: str, follow: bool) -> Iterator[str]:
        """What there is, then what comes, until the container has ended."""
        key, told = (namespace, pod), 0
        while True:
            with self._change:
                if follow:
                    self._change.wait_for(partial(self._has_more, key, told), 60)
                text = self._written.get(key, "")[told:]
                over = not follow or key in self._closed
            yield text
            told += len(text)
            if over:
                return

    def _has_more(self, key: tuple[str, str], told: int) -> bool:
        return len(self._written.get(key, "")) > told or key in self._closed


@contextmanager
def serve(api: client.ApiClient, nodes: list[str], folder: Path) -> Iterator[PodLogs]:
    """Serve logs as the kubelet of these nodes, where the API server looks for it."""
    logs = PodLogs()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            _, kind, namespace, pod, _container = url.path.split("/")
            assert kind == "containerLogs"
            self.send_response(200)
            self.end_headers()
            for text in logs.read(namespace, pod, parse_qs(url.query).get("follow") == ["true"]):
                self.wfile.write(text.encode())
                self.wfile.flush()

        def log_message(self, *_: object) -> None:
            """A test's output is no place for it."""

    pki = Pki(folder)
    pki.create_ca()
    certificate, key = pki.issue("kubelet", "/CN=kubelet", ("127.0.0.1",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    where = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": server.server_port}},
    }
    core = client.CoreV1Api(api)
    for node in nodes:
        core.patch_node_status(node, {"status": where})
    with listening(server):
        yield logs
