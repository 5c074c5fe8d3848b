"""A real terminal for a program that draws on one: a pty, what appears on it, keys."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress


class Screen:
    """A program in a terminal of 120 columns and 30 rows."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env={**os.environ, **environ, "TERM": "xterm"},
        )  # fmt: skip
        os.close(theirs)
        self._written = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def text(self) -> str:
        """All that was written so far, what moves the cursor included."""
        return self._written.decode(errors="replace")

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._ours, keys.encode())

    def close(self) -> None:
        """End the program, if it did not end itself."""
        self.process.kill()
        self.process.wait()
        self._thread.join()
        os.close(self._ours)

    def _read(self) -> None:
        with suppress(OSError):  # of a terminal that the last program has left
            while data := os.read(self._ours, 1 << 16):
                self._written += data


@contextmanager
def drawn(command: Sequence[str], environ: Mapping[str, str]) -> Iterator[Screen]:
    """A program in a terminal, until the context ends."""
    screen = Screen(command, environ)
    try:
        yield screen
    finally:
        screen.close()
