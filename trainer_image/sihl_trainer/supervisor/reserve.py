"""Disk that is kept free for the end.

The termination log is a file on the disk of the pod's emptyDirs. Where that is full, an attempt
could not say so: its result, which names the last durable checkpoint too, would find no room.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

RESERVE_BYTES = 1 << 20


class Reserve:
    """A file that takes room until it is closed, as much as there is.

    Args:
        path: Of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with contextlib.suppress(OSError):
            path.write_bytes(bytes(RESERVE_BYTES))  # written, because a hole takes no room

    def close(self) -> None:
        """Give the room to what is written now."""
        with contextlib.suppress(OSError):
            self._path.unlink()
