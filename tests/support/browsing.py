"""What a browser does with the dashboard that `kubectl sihl ui` serves, without a page."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit


class Browser:
    """One that was given the address.

    Args:
        address: As it was printed.
        process: Who printed it.
    """

    def __init__(self, address: str, process: subprocess.Popen[str]) -> None:
        self.address, self.process = address, process
        self._url = urlsplit(address)
        self._cookie = ""

    def opens(self) -> int:
        """Follow the address; returns the status."""
        status, headers, _ = self._got(f"{self._url.path}?{self._url.query}")
        self._cookie = (headers["Set-Cookie"] or "").partition(";")[0]
        return status

    def get(self, path: str, cookie: bool = True) -> tuple[int, Any]:
        """Status and document of a path of the API."""
        status, _, body = self._got(f"/api/v1{path}", {"Cookie": self._cookie} if cookie else {})
        return status, json.loads(body)

    def _got(
        self, path: str, headers: Mapping[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection(self._url.netloc, timeout=60)
        try:
            connection.request("GET", path, headers=dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()


@contextmanager
def served(*words: str, environ: Mapping[str, str]) -> Iterator[Browser]:
    """`kubectl sihl ui` with these words; interrupted as by Ctrl-C when the context ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sihl_dashboard.cli", "ui", "--no-browser", *words],
        env={**os.environ, **environ}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "http://127.0.0.1:" in line, line
        yield Browser(line.split()[-1], process)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
