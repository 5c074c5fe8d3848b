"""`sihl-trainer stop`: asks the supervisor for a checkpoint, and returns when it is safe.

The kubelet runs it as the container's preStop hook, before it sends SIGTERM. One line of text
goes each way over a Unix socket in the scratch folder; a connection that ends without an answer
means that the supervisor has ended.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

SOCKET_NAME = "supervisor.sock"
_REQUEST = b"stop\n"
_STARTING_PATIENCE = 10.0
"""Seconds for which a supervisor that is still being started is waited for."""


class StopServer:
    """Listens for requests to stop; answers them all once `settle` is called.

    Args:
        path: Of the socket.
        asked: Called for each request, from another thread.
    """

    def __init__(self, path: Path, asked: Callable[[], None]) -> None:
        path.unlink(missing_ok=True)
        self._path = path
        self._asked = asked
        self._settled = threading.Event()
        self._answer = b""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen()
        threading.Thread(target=self._accept, name="stop", daemon=True).start()

    def settle(self, answer: str) -> None:
        """Let those who wait go, with a line for them to show."""
        self._answer = " ".join(answer.split()).encode() + b"\n"
        self._settled.set()

    def close(self) -> None:
        """Stop listening."""
        self._path.unlink(missing_ok=True)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            if connection.makefile("rb").readline(len(_REQUEST)) == _REQUEST:
                self._asked()
                self._settled.wait()
                connection.sendall(self._answer)


def request_stop(path: Path, seconds: float) -> str:
    """Ask for a stop and wait until it is settled, for so many seconds at most.

    Returns:
        A line that tells what happened.
    """
    end = time.monotonic() + seconds
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        if not _connected(client, path, min(end, time.monotonic() + _STARTING_PATIENCE)):
            return "no trainer is running here"
        try:
            client.sendall(_REQUEST)
            client.settimeout(max(0.1, end - time.monotonic()))
            answer = client.makefile("rb").readline()
        except TimeoutError:
            return f"not stopped within {seconds:.0f} s"
        except OSError:
            answer = b""
        return answer.decode().strip() or "the trainer has ended"


def _connected(client: socket.socket, path: Path, end: float) -> bool:
    while True:
        try:
            client.connect(str(path))
            return True
        except OSError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.05)
