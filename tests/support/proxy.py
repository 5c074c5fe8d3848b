"""A TCP proxy in front of a real server that can be told to fail as networks do."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Faults:
    """What goes wrong; may be changed at any time.

    Args:
        down: Connections are closed as soon as they open, and open ones at what they carry next.
        cut_after: Answers end after so many bytes, `cuts` times.
        misled: In a request, these bytes become others: its signature does not fit any more.
        damage: In an answer, these bytes become others of the same number, `damages` times.
        upload_rate: Requests pass at so many bytes a second; 0 is without limit.
        answer_rate: Answers do; 0 is without limit.
        answer_delay: Each piece of an answer waits for so many seconds.
        connections: How many were opened so far.
    """

    endpoint: str = ""
    down: bool = False
    cut_after: int = 0
    cuts: int = 0
    misled: tuple[bytes, bytes] = (b"", b"")
    damage: tuple[bytes, bytes] = (b"", b"")
    damages: int = 0
    upload_rate: float = 0
    answer_rate: float = 0
    answer_delay: float = 0
    connections: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, chunk: bytes, sent: int) -> tuple[bytes, bool]:
        """What is passed on of a chunk of an answer, and whether the connection goes on."""
        with self.lock:
            old, new = self.damage
            if self.damages and old and old in chunk:
                self.damages -= 1
                chunk = chunk.replace(old, new, 1)
            if self.cuts and sent + len(chunk) > self.cut_after:
                self.cuts -= 1
                return chunk[: max(0, self.cut_after - sent)], False
            return chunk, True


@contextmanager
def proxied(endpoint: str, host: str = "127.0.0.1") -> Iterator[Faults]:
    """A proxy of an http:// endpoint; the context's value has its own endpoint and its faults."""
    target = urlsplit(endpoint)
    listener = socket.create_server((host, 0))
    faults = Faults(endpoint=f"http://{host}:{listener.getsockname()[1]}")

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                faults.connections += 1
                if faults.down:
                    client.close()
                    continue
                server = socket.create_connection((target.hostname, target.port))
                for pair in ((client, server, False), (server, client, True)):
                    threading.Thread(target=_pump, args=(*pair, faults), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield faults
    finally:
        listener.close()


def _pump(source: socket.socket, sink: socket.socket, answers: bool, faults: Faults) -> None:
    sent, goes_on = 0, True
    with suppress(OSError):
        while goes_on and (chunk := source.recv(65536)) and not faults.down:
            if answers:
                chunk, goes_on = faults.answer(chunk, sent)
                time.sleep(faults.answer_delay)
                if faults.answer_rate:
                    time.sleep(len(chunk) / faults.answer_rate)
            else:
                chunk = chunk.replace(*faults.misled) if faults.misled[0] else chunk
                if faults.upload_rate:
                    time.sleep(len(chunk) / faults.upload_rate)
            sink.sendall(chunk)
            sent += len(chunk)
    for each in (source, sink):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
            each.close()
