"""A disk that is full: known by its error, and told with what to do.

This module imports no torch: the supervisor shares it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from sihl_trainer.errors import DiskFull, TrainerError


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Makes of a full disk an end that says what to do.

    Raises:
        DiskFull: There is no room for the folder.
    """
    try:
        yield
    except TrainerError:
        raise  # a store's, whose disk may be full too
    except Exception as error:
        # What the library of safetensors raises is no OSError and has no number.
        if os.strerror(errno.ENOSPC) not in str(error):
            raise
        raise DiskFull(
            "DiskFull",
            f"the disk is full, {folder} could not be written: {error}. Free some space on the "
            "node's disk, or choose nodes with larger disks by runner.nodeSelector.",
        ) from error
