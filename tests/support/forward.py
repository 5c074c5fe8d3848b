"""A forward proxy, as companies have: it passes on what it lets through, and keeps count."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Forward:
    """The proxy.

    Args:
        url: Its own.
        leads_to: Host and port of all that is asked for, whatever its name; None: as it is named.
        refuses: The status with which it refuses all; 0 lets everything through.
        passed: What it was asked for: hosts with their ports.
    """

    url: str
    leads_to: tuple[str, int] | None = None
    refuses: int = 0
    passed: list[str] = field(default_factory=list)


@contextmanager
def forward_proxy(port: int | None = None, refuses: int = 0) -> Iterator[Forward]:
    """As long as the context lasts; with a port, all names are this machine's there."""
    listener = socket.create_server(("127.0.0.1", 0))
    leads_to = ("127.0.0.1", port) if port else None
    proxy = Forward(f"http://127.0.0.1:{listener.getsockname()[1]}", leads_to, refuses)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=_served, args=(client, proxy), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield proxy
    finally:
        listener.close()


def _served(client: socket.socket, proxy: Forward) -> None:
    """One request: what comes after it on the same connection would go to the same host."""
    with client, suppress(OSError):
        head = b""
        while b"\r\n\r\n" not in head:
            if not (chunk := client.recv(65536)):
                return
            head += chunk
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        url = urlsplit(target if method != "CONNECT" else f"//{target}")
        proxy.passed.append(url.netloc)
        if proxy.refuses:
            client.sendall(f"HTTP/1.1 {proxy.refuses} No\r\nContent-Length: 0\r\n\r\n".encode())
            return
        with socket.create_connection(proxy.leads_to or (url.hostname, url.port)) as server:
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                path = target[len(f"http://{url.netloc}") :] or "/"
                server.sendall(head.replace(target.encode(), path.encode(), 1))
            _pumped(client, server)


def _pumped(client: socket.socket, server: socket.socket) -> None:
    other = {client: server, server: client}
    while True:
        for ready in select.select(list(other), [], [])[0]:
            if not (chunk := ready.recv(65536)):
                return
            other[ready].sendall(chunk)
